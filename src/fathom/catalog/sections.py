"""Parts of docs/landscape.md on classes, rules, guides and evidence; `export.SECTIONS` names them.

Each function returns Markdown that begins with a heading. Nothing is said here that the data does
not say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fathom.catalog import constraints, facts, guides, results, rules, tasks
from fathom.catalog.classes import FIELDS, ModelClass
from fathom.catalog.classes import classes as known_classes
from fathom.catalog.evidence import Choice, Evidence, Verdict
from fathom.catalog.export import as_table
from fathom.catalog.models import GRADES, models

_TOLD = ("strengths", "weaknesses", "recognised", "metric", "verdict")


def classes() -> str:
    """Return every class: side by side, then one by one with its models."""
    head = ("class", "input", "output", "parameters", "speed", "best for")
    fields = ("inputs", "outputs", "size", "speed", "best_for")
    rows = [(f"[{one.name}](#{_anchor(one)})", *map(one.text, fields)) for one in _known()]
    return "\n\n".join(["## Classes", as_table([head, *rows]), *map(_class, _known())])


def _known() -> Sequence[ModelClass]:
    return tuple(known_classes().values())


def _heading(one: ModelClass) -> str:
    return f"{one.name}: {one.title}"


def _anchor(one: ModelClass) -> str:
    """Return the place of a heading, as GitHub makes it: signs go, spaces become hyphens."""
    kept = (letter for letter in _heading(one).casefold() if letter.isalnum() or letter in " -")
    return "".join(kept).replace(" ", "-")


def _class(one: ModelClass) -> str:
    lines = [f"### {_heading(one)}", "", one.text("use"), ""]
    lines += [f"- {FIELDS[name].label}: {one.text(name)}" for name in _TOLD if one.text(name)]
    verb = one.text("verb")
    lines.append(f"- run by: `{verb}`" + ("" if one.runs else " (not yet)"))
    if chosen := [task.name for task in tasks.tasks().values() if one.name in _names(task.best)]:
        lines.append(f"- first choice for: {', '.join(chosen)}")
    found = [model.title for model in models().values() if one.name in model.words("classes")]
    lines.append(f"- models here: {', '.join(found) or 'none'}")
    return "\n".join(lines)


def _names(choices: Sequence[Choice]) -> set[str]:
    return {choice.model_class for choice in choices}


def choosing() -> str:
    """Return which class for which task and constraint, each with its evidence and our verdict."""
    told = [
        (
            task.name,
            _listed(task.best),
            _listed(task.second),
            *_grounds(task.evidence, task.verdict),
        )
        for task in tasks.tasks().values()
    ]
    bound = [
        (one.name, _listed(one.choices), *_grounds(one.evidence, one.verdict))
        for one in constraints.constraints().values()
    ]
    grounds = ("evidence", "verdict")
    return "\n\n".join(
        [
            "## Which class for what",
            "`fathom choose` answers from these, and goes on to models that fit.",
            "### Tasks",
            as_table([("task", "first", "second", *grounds), *told]),
            "### Constraints",
            as_table([("constraint", "classes, in order", *grounds), *bound]),
        ]
    )


def ruling() -> str:
    """Return the rules between classes, row by row, and the guides between variants."""
    parts = ["## Rules between classes"]
    for rule in rules.rules().values():
        keys = tuple(dict.fromkeys(key for row in rule.rows for key in row))
        rows = [tuple(_cell(row.get(key, "")) for key in keys) for row in rule.rows]
        parts += [f"### {rule.title}", rule.about, as_table([keys, *rows])]
        parts.append("\n".join(f"- {line}" for line in _grounds(rule.evidence, rule.verdict)))
    parts.append("## Rules between variants")
    for guide in guides.guides().values():
        told = [
            f"- {rule.when}: **{rule.choose}**. {_cited(rule.evidence)}" for rule in guide.rules
        ]
        told.append(f"- {_judged(guide.verdict)}")
        parts += [f"### {guide.title}", f"`fathom guide {guide.name}`", "\n".join(told)]
    return "\n\n".join(parts)


def trusting() -> str:
    """Return how far the quoted results may be trusted, and how many there are of each grade."""
    counts = Counter(one.grade for told in results.results().values() for one in told)
    rows = [(grade, _MEANS[grade], str(counts[grade])) for grade in GRADES]
    return "\n\n".join(
        [
            "## How far results may be trusted",
            "A result belongs to one size of one release; another size inherits none. Where "
            "nothing was measured here, a choice rests on what others report.",
            as_table([("grade", "what it means", "results here"), *rows]),
        ]
    )


_MEANS = {
    "measured here": "by this program on this machine; none is shipped, and none can be made "
    "until Fathom evaluates models",
    "published": "by others than the maker, of exactly this model",
    "for a relative": "of another size or release of the same family: shown, never counted",
    "self-reported": "by the maker, of exactly this model",
}


def sizing() -> str:
    """Return where a maker's figure and the count of its own configuration differ."""
    told = [
        (model.title, *_difference(line))
        for model in models().values()
        for variant in model.variants
        if (line := variant.disagreement)
    ]
    return "\n\n".join(
        [
            "## Sizes that are not what they are called",
            "Counted through the spec from the published configuration. Where the difference is a "
            "part that is not text, such as eyes, the card says so.",
            as_table([("model", "size", "difference"), *told]),
        ]
    )


def _difference(line: str) -> tuple[str, str]:
    size, _, rest = line.partition(": ")
    return size, rest


def _grounds(evidence: Sequence[Evidence], verdict: Verdict) -> Iterator[str]:
    yield " ".join(map(_cited, evidence))
    yield _judged(verdict)


def _cited(one: Evidence) -> str:
    return f"{one.claim} ({one.grade}, {_source(one.source, one.date)})"


def _judged(verdict: Verdict) -> str:
    return f"{verdict.state}: {verdict.says} ({_source(verdict.source, verdict.date)})"


def _source(source: str, date: str) -> str:
    return f"the notes, {date}" if source == "notes" else f"[{date}]({facts.address(source)})"


def _listed(choices: Sequence[Choice]) -> str:
    return ", ".join(map(str, choices))


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
