"""Numbers in the prose of the book: glued, free by a rule, or listed with a reason."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from allm_utils.book import paper
from allm_utils.data import cnmc, people, sample
from allm_utils.runs import records

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "book").glob("*.md")])
LISTED = yaml.safe_load((ROOT / "tests/typed_numbers.yaml").read_text(encoding="utf-8"))
NOT_PROSE = r"""
    \A---.*?^---$ | ^[ ]*(`{3,}).*?^[ ]*\1 | \$\$.*?\$\$       # front matter, code, formulas,
    | \$(?![\d.,%\s]+\$)(?:(?!\n\n)[^$])+\$                  # but no formula and no code
    | `(?![\d.,%\s]+`)(?:(?!\n\n)[^`])+`                     # that is a bare number
    | \]\([^)]*\) | doi:\S+ | <[^>\n]*> | ^:+\{grid[^\n]*     # addresses
    | ^:(?!alt)[\w-]+:[^\n]* | ^>[ ]\*\*Run[ ]time[^\n]*     # options; what another test holds
    | ^(?:\#+[ ])?\d+\\?\.[ ]                                # the numbers of a list
"""
FREE = r"""
    \b(?:table|fig\.|figure|equation|section|chapter|exercise|fold|round|subject|patient|seed|label
      |epoch|severity|version|keras|tensorflow)(?:\ is)?\ \d+(?:\.\d+)*\b
    | \bfolds\ [012](?:(?:,|\ and|\ or|\ to)\ [012])*\b
    | \b(?:tables|figures|equations|python)\ \d+(?:\.\d+)*(?:(?:,|\ and|\ to)\ \d+(?:\.\d+)*)*\b
    | (?:C-NMC|ISBI)\ 2019 | \(2019\) | CC\ BY\ \d\.\d | OFL[^)]* | \d+\ November\ 2026
    | (?:σ|sigma)(?:\ of|\ =)?\ \d\d?(?:(?:,|\ and|\ or|\ to)\ (?:\d|10|20|40)\b)*(?!\.\d)
    | \d+\ ×\ \d+ | \[−?\d,\ \d\] | \b0\ to\ 255\b | [01]\ (?:\(|for\ |is\ )(?:HEM|ALL)
    | \b(?:112|128|224|300|450|600)\b(?:\ pixels|\ px)?(?!\ of)(?!\ (?:real\ )?(?:cells|people))
    | \b(?:8|16|32)(?:\ bits|-bit)\b | \bmean\ 0\b
    | \b95\ %\ (?:bootstrap\ |Wilson\ )?intervals? | \b0\.5\b(?!\ points)
"""
"""References, names, the settings of a picture, the levels of noise, types, a level and a coin."""


@pytest.fixture(scope="module")
def counted(runs):
    """Counts that many pages name, with the words that may follow them."""
    listed = cnmc.shipped_index()
    listed = listed[listed["fold"] < 2]
    far = records.outside().query("set == 'fold 2'")
    weights = runs.where(experiment="table5", fold=0, seed=2).one().data["parameters"]["total"]
    n = {
        part: [sum(of[part] for of in paper.TABLE_1[fold].values()) for fold in (0, 1)]
        for part in ("train", "test")
    }
    counts = {
        people.person(listed["subject"]).nunique(): "(?:other )?people",
        f"{len(listed):,}": "cells|of new people",
        f"{sum(n['test']):,}": "(?:test )?cells",
        f"about {round(n['train'][0], -2):,}": "(?:training )?pictures",
        f"{weights / 1e6:.1f}": "million",
        sample.N_CELLS + sample.N_OUTSIDE: "(?:real )?cells",
        len(far): f"cells of {far['person'].nunique()} people",
    }
    return "|".join(rf"\b{count} (?:{words})\b" for count, words in counts.items())


def page_of(path):
    """What a page says, captions and alternative texts too, and the code that it runs."""
    if path.suffix == ".md":
        said = path.read_text(encoding="utf-8")
        cell = r"^```\{code-cell\}[^\n]*\n(?::[^\n]*\n|---\n.*?^---\n)*(.*?)^```"
        return prose(said), "\n".join(re.findall(cell, said, re.S | re.M))
    texts, code = [], []
    for cell in nbformat.read(path, as_version=4).cells:
        (texts if cell.cell_type == "markdown" else code).append(cell.source)
        shown = cell.metadata.get("mystnb", {})
        texts += [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
    return prose("\n\n".join(texts)), "\n".join(code)


def prose(text):
    text = re.sub(r"\{term\}`([^`<]*?)(?: <[^`]*>)?`", r"\1", text)
    return re.sub(r"\s+", " ", re.sub(NOT_PROSE, " ", text, flags=re.S | re.M | re.X))


def typed(text, phrases, counted):
    """Numbers in digits that no phrase of the list, no count and no rule allows, in their words."""
    for phrase in phrases:
        assert phrase in text, f"the page no longer says: {phrase}"
        text = text.replace(phrase, "…")
    text = re.sub(FREE, "…", re.sub(counted, "…", text), flags=re.I | re.X)
    found = re.finditer(r"(?<![\w.-])\d", text)
    return [text[max(0, one.start() - 40) : one.end() + 30] for one in found]


def numbers_in(text):
    found = re.findall(r"(?<![\w.])\d[\d,_]*(?:\.\d+)?(?:e-?\d+)?", text)
    return {float(number.rstrip(",").replace(",", "")) for number in found}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_numbers_are_glued_or_listed_with_a_reason(path, counted):
    text, code = page_of(path)
    listed = LISTED.get(path.stem, {})
    assert set(listed) <= {"asserted", "set", "paper", "rule", "case", "hand"}
    left = typed(text, [phrase for why in listed.values() for phrase in why], counted)
    assert left == [], "glue it, or list it in typed_numbers.yaml"
    asserts = [ast.unparse(n) for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Assert)]
    for why, held in {"asserted": "\n".join(asserts), "set": code}.items():
        for number in numbers_in("\n".join(listed.get(why, []))):
            assert {number, number / 100} & numbers_in(held), f"{number} is not {why} on the page"


TYPED = """It wins 7 of 10 people. | a score of `0.94` | gains $3$ points | falls by 0.5 points
| under σ 10 in 9 networks | on 450 cells | in 12 of 14 | 36 people | a loss of 2 %"""


@pytest.mark.parametrize("said", TYPED.split("|"))
def test_a_result_that_somebody_types_is_found(said, counted):
    assert typed(prose(said), [], counted)
    assert not typed("folds 0 and 1, σ 5 and 10, 300 pixels, a 95 % interval, Table 5", [], counted)


def test_every_page_of_the_list_stands():
    assert set(LISTED) <= {path.stem for path in PAGES}
