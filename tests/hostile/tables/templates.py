"""Chat templates: lines JJ-01 to JJ-24 of the catalogue. A line here is a template and its code."""

from __future__ import annotations

from fathom.inputs.chat import LARGEST_TEMPLATE
from hostile.case import Case, file_of

SLOW = 40.0  # seconds: two of processor time, on a machine that others use too
SOUND = "{{ messages[0].content }}"
# The template, its code, and the nearest sound template ("" for the plainest).
REFUSED: dict[str, tuple[str, str, str]] = {
    "JJ-01 subclasses": (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "E_UNSAFE_CODE",
        "{{ ''.upper() }}",
    ),
    "JJ-02 globals of a global": (
        "{{ namespace.__init__.__globals__ }}",
        "E_UNSAFE_CODE",
        "{{ namespace(a=1).a }}",
    ),
    "JJ-02 globals of a function": ("{{ raise_exception.__globals__.os }}", "E_UNSAFE_CODE", ""),
    "JJ-07 nested ranges": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "E_TIMEOUT",
        "{% for a in range(99) %}{% for b in range(99) %}{% endfor %}{% endfor %}",
    ),
    "JJ-08 lipsum": ("{{ lipsum(n=100000) }}", "E_HEADER_SYNTAX", ""),
    "JJ-08 cycler": ("{{ cycler('a') }}", "E_HEADER_SYNTAX", ""),
    "JJ-09 lists of lists": (
        "{{ ((range(99999)|list) * 1000)|length }}",
        "E_LIMIT",
        "{{ ((range(99)|list) * 10)|length }}",
    ),
    "JJ-10 a long text": ("{{ ('a' * 10**10)|length }}", "E_LIMIT", "{{ ('a' * 10**4)|length }}"),
    "JJ-10 centred": (
        "{{ ('a'|center(10**10))|length }}",
        "E_LIMIT",
        "{{ ('a'|center(100))|length }}",
    ),
    "JJ-10 a long list": ("{{ ([0] * 10**9)|length }}", "E_LIMIT", "{{ ([0] * 10**4)|length }}"),
    "JJ-10 a long number": ("{{ 10 ** (10 ** 9) }}", "E_TIMEOUT", "{{ 10 ** 9 }}"),
    "JJ-10 a flood": (
        "{% for i in range(9) %}{{ 'x' * 999999 }}{% endfor %}",
        "E_LIMIT",
        "{% for i in range(3) %}{{ 'x' * 999999 }}{% endfor %}",
    ),
    "JJ-11 a long range": (
        "{{ range(100001)|list|length }}",
        "E_LIMIT",
        "{{ range(100000)|list|length }}",
    ),
    "JJ-12 recursive macro": (
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "E_DEPTH",
        "{% macro f(n) %}{{ f(n - 1) if n }}{% endmacro %}{{ f(3) }}",
    ),
    "JJ-13 brackets": (
        "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
        "E_DEPTH",
        "{{ " + "(" * 9 + "1" + ")" * 9 + " }}",
    ),
    "JJ-13 blocks": (
        "{% if 1 %}" * 3_000 + "{% endif %}" * 3_000,
        "E_DEPTH",
        "{% if 1 %}" * 9 + "{% endif %}" * 9,
    ),
    "JJ-14 changes its input": (
        "{{ messages.append(1) }}",
        "E_UNSAFE_CODE",
        "{% set n = namespace(x=1) %}{% set n.x = 2 %}",
    ),
    "JJ-14 private name": (
        "{% set n = namespace(__class__=1) %}",
        "E_UNSAFE_CODE",
        "{% set n = namespace(kind=1) %}",
    ),
    "JJ-15 include": ("{% include '/etc/passwd' %}", "E_PATH", ""),
    "JJ-15 import": ("{% import 'os' as os %}", "E_PATH", ""),
    "JJ-18 extends what the caller says": ("{% extends messages[0].role %}", "E_PATH", ""),
    "JJ-20 syntax": ("a\nb {% if %}", "E_HEADER_SYNTAX", "a\nb {% if 1 %}{% endif %}"),
    "JJ-20 undefined": ("{{ nothing.at_all }}", "E_HEADER_SYNTAX", "{{ nothing }}"),
    "JJ-24 too large": (" " * (LARGEST_TEMPLATE + 1), "E_LIMIT", " " * LARGEST_TEMPLATE),
    "JJ-24 endless date": (
        "{{ strftime_now('%Y' * 10**8) }}",
        "E_LIMIT",
        "{{ strftime_now('%Y') }}",
    ),
}
# These render, and what they render says nothing of Python: the door looks at that.
ACCEPTED = {
    "JJ-04 indirect format": "{% set f = '{0.__class__}'.format %}{{ f(1) }}",
    "JJ-03 format by a filter": "{{ ('{0.__class__}'|attr('format'))(messages) }}",
    "JJ-05 format_map": "{{ '{x}'.format_map({'x': 1}) }}",
    "JJ-06 attributes": "{{ messages|map(attribute='__class__')|list }}",
    "JJ-22 text that looks like a template": SOUND,
    "JJ-24 a number that is none": "{{ (1e308 * 10)|tojson }}",
}
MANY = [{"role": "user", "content": f"message {number}"} for number in range(10_000)]

CASES = [
    Case(
        name.partition(" ")[0],
        name.partition(" ")[2],
        file_of("template.jinja", source.encode()),
        code,
        file_of("template.jinja", (twin or SOUND).encode()),
        doors=("render",),
        twin_doors=("render",),
        seconds=SLOW,
    )
    for name, (source, code, twin) in REFUSED.items()
] + [
    Case(
        name.partition(" ")[0],
        name.partition(" ")[2],
        file_of("template.jinja", source.encode()),
        doors=("render",),
    )
    for name, source in ACCEPTED.items()
]
CASES.append(
    Case(
        "JJ-23",
        "ten thousand messages",
        file_of(
            "template.jinja", b"{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        ),
        doors=("render",),
        options={"messages": MANY},
    )
)
