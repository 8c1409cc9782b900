"""Lineage, tree and timeline: drawn from the cards, whole, and in formats that others read."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from fathom.catalog import lineage, timeline, tree
from fathom.catalog.models import shipped
from fathom.errors import NotFoundError

SVG = "{http://www.w3.org/2000/svg}"
FAMILIES = lineage.families()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_drawn_whole(family: str) -> None:
    members = {model.name for model in lineage.family(family)}
    (group,) = tree.groups(family)
    assert [node.model.name for node in group.nodes].count(next(iter(members))) == 1
    assert {node.model.name for node in group.nodes} == members
    assert len(group.nodes) == len(members)
    assert len(tree.draw("text", family).splitlines()) == len(members) + 1


def test_llamas_family_as_everybody_draws_it() -> None:
    (group,) = tree.groups("llama")
    depth = {node.model.name: node.depth for node in group.nodes}
    for name in ("alpaca", "vicuna", "koala", "llama-2"):
        assert depth[name] == 1
    assert (depth["code-llama"], depth["stablevicuna"], depth["nexusraven-v2"]) == (2, 2, 4)


@pytest.mark.parametrize("family", [None, *FAMILIES])
def test_the_picture_is_xml_with_a_mark_for_each(family: str | None) -> None:
    """And a legend, which has a mark for each kind."""
    root = ElementTree.fromstring(tree.draw("svg", family))
    groups = tree.groups(family)
    assert len(root.findall(f"{SVG}circle")) == sum(len(group.nodes) for group in groups)
    edges = {edge for group in groups for edge in group.edges}
    assert len(root.findall(f"{SVG}path")) == len(edges)
    legend = {mark.get("class") for mark in root.findall(f"{SVG}g/*") if mark.get("class")}
    drawn = {mark.get("class") for part in ("circle", "path") for mark in root.findall(SVG + part)}
    assert drawn <= legend


@pytest.mark.parametrize("family", [None, *FAMILIES])
def test_dot_names_every_node_and_edge(family: str | None) -> None:
    drawn = tree.draw("dot", family)
    assert drawn.count("{") == drawn.count("}")
    for group in tree.groups(family):
        for node in group.nodes:
            assert f'"{node.model.name}" [label=' in drawn
        for edge in group.edges:
            assert f'"{edge.parent}" -> "{edge.child}"' in drawn


def test_branches_by_year() -> None:
    branches = lineage.by_branch()
    assert tuple(branches) == lineage.BRANCHES
    assert {"bert", "modernbert", "bge-m3"} <= {m.name for m in branches["encoder-only"]}
    assert {"gpt-2", "llama-1", "gpt-3"} <= {m.name for m in branches["decoder-only"]}
    assert {"transformer", "whisper"} <= {m.name for m in branches["encoder-decoder"]}
    years = [line[2:6] for line in tree.draw("text").splitlines() if re.match(r"  \d{4} ", line)]
    assert years[0] == "2018" and "2017" in years


def test_nobody_descends_from_later() -> None:
    cards = shipped()
    for edge in lineage.edges():
        if edge.kind in ("tuned_from", "merged_from"):
            born = [cards[name].text("released") or "" for name in (edge.parent, edge.child)]
            assert born[0][:7] <= born[1][:7], edge


def test_the_nine_years() -> None:
    events = timeline.milestones()
    assert {event.date[:4] for event in events} == {str(year) for year in range(2017, 2026)}
    assert [event.date for event in events] == sorted(event.date for event in events)
    for event in events:
        assert event.card in shipped() or event.correction


@pytest.mark.parametrize("model_class", timeline.classes())
def test_a_class_has_a_timeline(model_class: str) -> None:
    events = timeline.timeline(model_class=model_class.upper())
    assert len(events) == timeline.classes()[model_class]
    assert [event.date for event in events] == sorted(event.date for event in events)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (lambda: timeline.timeline(model_class="SML"), "Did you mean"),
        (lambda: timeline.timeline(family="lama"), "Did you mean"),
        (lambda: tree.draw("text", "lama"), "Did you mean"),
    ],
)
def test_unknown_words_offer_the_nearest(asked, complaint: str) -> None:
    with pytest.raises(NotFoundError, match=complaint):
        asked()
