"""Every page of the built book, as a reader sees it: light, dark and on a phone."""

import io
import re
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
import yaml
from axe_playwright_python.base import AXE_FILE_PATH
from bs4 import BeautifulSoup
from PIL import Image

from allm_utils import __version__

pytestmark = [pytest.mark.needs("book"), pytest.mark.needs("chromium")]

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
ENTRIES = [entry for part in TOC["parts"] for entry in part["chapters"]]
FILES = [TOC["root"]]
FILES += [page["file"] for entry in ENTRIES for page in (entry, *entry.get("sections", ()))]
PAGES = [file.removesuffix(".ipynb") for file in FILES]
CHAPTERS = [page for page in PAGES if page.removeprefix("notebooks/")[0].isdigit()]
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = {"dark": (DESK, "dark"), "phone": (PHONE, "light"), "light": (DESK, "light")}


# Colours change gradually, and half-faded text has too little contrast.
STILL = "*, ::before, ::after { animation: none !important; transition: none !important }"
THEME = "scheme => document.documentElement.dataset.theme === scheme"
FOCUSABLE = """() => [...document.querySelectorAll(
    "pre, .cell_output > .output, .pst-scrollable-table-container"
)].every(part => part.scrollWidth <= part.clientWidth || part.tabIndex === 0)"""


@pytest.fixture(scope="module")
def visit(browser, site):
    """Open a page once; the same tab serves every test of that page, in the look that it asks for.

    ``page.errors`` collects console errors, and requests that leave this machine.
    """
    context = browser.new_context(viewport=DESK, color_scheme="light")
    tabs = {}

    def open_page(name, look="light"):
        if name not in tabs:
            for page in tabs.values():
                page.close()
            tabs.clear()
            tabs[name] = page = context.new_page()
            page.look, page.errors = None, []
            page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
            page.on("pageerror", lambda error: page.errors.append(str(error)))
            page.on("request", lambda r: r.url.startswith(site) or page.errors.append(r.url))
            page.goto(f"{site}{name}.html", wait_until="networkidle")
            page.add_style_tag(content=STILL)
        page = tabs[name]
        if look != page.look:
            page.look, (size, scheme) = look, LOOKS[look]
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            page.wait_for_function(THEME, arg=scheme)
            page.wait_for_function(FOCUSABLE)  # the theme takes a moment after a change of width
        return page

    yield open_page
    context.close()


def together(pages):
    """One process opens a page, for all its tests."""
    return [pytest.param(page, marks=pytest.mark.xdist_group(page)) for page in pages]


@pytest.fixture(scope="module", params=together(PAGES))
def name(request):
    """Each page of the book."""
    return request.param


@pytest.fixture(scope="module", params=together(CHAPTERS))
def chapter(request):
    """Each chapter of the book."""
    return request.param


# Contrast is the slow rule, and the only one that light and dark decide.
RULES = {
    "dark": {"runOnly": ["color-contrast"]},
    "phone": {"rules": {"color-contrast": {"enabled": False}}},
    "light": {},
}
# It looks at fields, and at five of the texts that are alike: of one class, in one type, on one
# ground.
CONFIGURE = """axe.configure({rules: [
  {id: 'color-contrast', selector: 'input, select, textarea, [data-one-of-five]'}
]})"""
RUN = """([part, options]) => {
  const alike = {}, grounds = new Map([[null, '']]);
  const ground = element => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
      const own = `${backgroundColor} ${backgroundImage} ${opacity};`;
      const clear = own === 'rgba(0, 0, 0, 0) none 1;';
      grounds.set(element, ground(element.parentElement) + (clear ? '' : own));
    }
    return grounds.get(element);
  };
  for (const element of document.body.querySelectorAll('*')) {
    element.removeAttribute('data-one-of-five');
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!text || !element.checkVisibility()) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
    const look = [element.tagName, element.getAttribute('class'), color, fontSize, fontWeight,
      textShadow, ground(element)].join();
    (alike[look] ??= []).push(element);
  }
  for (const all of Object.values(alike))
    for (let i = 0; i < all.length; i += Math.ceil(all.length / 5))
      all[i].setAttribute('data-one-of-five', '');
  return axe.run(part, options).then(results => results.violations);
}"""


def violations(page, rules, part="html"):
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE_FILE_PATH.read_text())
        page.evaluate(CONFIGURE)
    options = {"preload": False, "resultTypes": ["violations"], **rules}
    return [
        f"{violation['id']}: {node['html'][:200]} ({node['failureSummary']})"
        for violation in page.evaluate(RUN, [part, options])
        for node in violation["nodes"]
    ]


def test_page_loads_without_errors_and_without_a_network(visit, name):
    page = visit(name)
    assert page.errors == []
    assert page.locator("article h1").count() == 1
    assert page.locator("mjx-merror").count() == 0
    assert page.locator(".math").count() == page.locator("mjx-container").count()


def test_drawings_and_plots_are_dark_on_a_dark_page(visit, name):
    page = visit(name, "dark")
    for image in page.locator("article img[src$='.svg']").all()[:3]:
        image.scroll_into_view_if_needed()
        shot = Image.open(io.BytesIO(image.screenshot())).convert("RGB")
        assert max(shot.getpixel((2, 2))) < 40, image.get_attribute("src")


@pytest.mark.parametrize("look", RULES)
def test_page_is_accessible(visit, name, look):
    assert violations(visit(name, look), RULES[look]) == []


def test_page_and_its_formulas_fit_a_phone(visit, name):
    page = visit(name, "phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wide = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.id)"
    assert page.eval_on_selector_all("article div.math mjx-container", wide) == []


def test_words_in_figures_can_be_read_on_a_phone(visit, name):
    """At its own size a plot has words of 12 px or more, and a drawing of 16.5 px."""
    page = visit(name, "phone")
    for image in page.locator("article figure:not(.landing *) img[src$='.svg']").all():
        shown, own = image.evaluate("image => [image.clientWidth, image.naturalWidth]")
        assert shown / own * (12 if own < 500 else 16.5) >= 9, image.get_attribute("src")
        assert image.bounding_box()["x"] + shown <= PHONE["width"]


def test_figures_count_from_one_on_each_page(visit, name):
    numbers = visit(name).locator(".caption-number").all_inner_texts()
    if name not in CHAPTERS or name.endswith("00_first_look"):
        assert [text.strip() for text in numbers] == [f"Fig. {i + 1}" for i in range(len(numbers))]
    else:
        assert all("." in text.removeprefix("Fig. ") for text in numbers)


SIGNS = """() => {
  const article = document.querySelector('article').cloneNode(true);
  article.querySelectorAll('code, style, script, mjx-container, .cell_input, .text_plain, .sig')
    .forEach(one => one.remove());
  return article.textContent.match(/(^|[\\s(\\[])-\\d.{9}|.{9}\\d ?%/gm) ?? [];
}"""


def test_numbers_have_one_form(visit, name):
    """A true minus sign, and a no-break space before per cent."""
    assert visit(name).evaluate(SIGNS) == []


def test_tables_have_one_row_of_heads_and_are_not_clipped(visit, name):
    page = visit(name)
    for table in page.locator("article table.dataframe").all():
        assert table.locator("thead tr").count() == 1, table.inner_text()
        assert table.locator("thead tr > *").count() <= 8, table.inner_text()  # a name, and seven
        if "/" not in table.inner_text() and "scorecard" not in name:  # what the paper has printed
            rows = [line.split("\t") for line in table.inner_text().splitlines()[1:]]
            columns = zip(*rows, strict=False)
            whole = [all(re.fullmatch(r"\d+\.0", cell) for cell in column) for column in columns]
            assert not any(whole) and not re.search(r"\d\.\d{4}", table.inner_text())
    holders = "all => all.map(one => one.scrollWidth - one.clientWidth)"
    clipped = page.eval_on_selector_all(".pst-scrollable-table-container", holders)
    assert not any(clipped)
    right = page.locator("article").first.bounding_box()
    for table in page.locator("article table").all():
        box = table.bounding_box()
        assert box is None or box["x"] + box["width"] <= right["x"] + right["width"] + 1


def test_page_says_what_it_is_and_only_notebooks_offer_colab(visit, name):
    page, head = visit(name), visit(name).locator("head")
    for selector in ("meta[name=description]", "meta[property='og:description']"):
        assert len(head.locator(selector).first.get_attribute("content")) > 30
    assert head.locator("meta[property='og:image']").first.get_attribute("content").endswith("jpg")
    assert f"Version {__version__}" in page.locator(".bd-footer-content").inner_text()
    launch = page.locator(".bd-header-article a[href*='colab.research.google.com']")
    assert (launch.count() > 0) == name.startswith("notebooks/")


def test_every_image_says_what_it_shows(visit, name):
    for image in visit(name).locator("article img").all():
        assert len(image.get_attribute("alt") or "") >= 10, image.get_attribute("src")
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")


def test_links_inside_the_book_lead_somewhere(visit, site, html, name):
    page = visit(name)
    links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    inside = {link for link in links if link.startswith(site)}
    assert inside
    for link in inside:
        address, fragment = urldefrag(urljoin(page.url, link))
        target = html / address.removeprefix(site)
        assert target.is_file(), link
        if fragment and target.suffix == ".html":
            assert f'id="{fragment}"' in target.read_text(encoding="utf-8"), link


def test_chapter_opens_in_the_students_edition(visit, chapter):
    path = f"editions/student/{Path(chapter).name}.ipynb"
    assert (ROOT / path).is_file()
    for place in ("colab.research.google.com", "kaggle.com", "mybinder.org"):
        button = visit(chapter).locator(f".bd-header-article a[href*='{place}']").first
        assert button.get_attribute("href").endswith(path), place


@pytest.mark.parametrize("kind", ["student", "instructor"])
def test_links_of_the_editions_lead_into_the_book(html, kind):
    book = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["ogp_site_url"]
    texts = [
        path.read_text(encoding="utf-8") for path in (ROOT / "editions" / kind).glob("*.ipynb")
    ]
    links = set(re.findall(rf"{book}([^)\s\"]+)", "".join(texts)))
    assert len(links) > 60
    for link in links:
        name, fragment = urldefrag(link)
        assert (html / name).is_file(), link
        assert not fragment or f'id="{fragment}"' in (html / name).read_text("utf-8"), link


def test_figures_are_numbered_and_the_install_cell_is_hidden(visit, chapter):
    page = visit(chapter)
    figures = page.locator("article figure[id^=fig-]")
    assert figures.count() > 0
    for figure in figures.all():
        assert figure.locator(".caption-number").inner_text().startswith("Fig. ")
        assert len(figure.locator(".caption-text").inner_text()) > 10
    plots = page.locator("article .cell_output img[src*='_images/']")
    named = page.locator("article .cell_output figure[id^=fig-] img[src*='_images/']")
    assert plots.count() == named.count()
    assert "google.colab" not in page.locator("article").inner_text()


def test_outputs_name_no_folder_of_this_machine(visit, chapter):
    text = visit(chapter).locator("article").inner_text()
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


def test_solutions_wait_behind_a_click(visit, chapter):
    page = visit(chapter)
    solutions = page.locator(".tag_solution")
    assert solutions.count() == page.locator(".tag_exercise").count() > 0
    for solution in solutions.all():
        code = solution.locator(".cell_input pre").first
        assert not code.is_visible()
        solution.locator("summary").first.click()
        assert code.is_visible()
    assert violations(page, RULES["light"], ".tag_solution") == []


def test_answers_of_the_quiz_open_by_keyboard(visit, chapter):
    page = visit(chapter)
    questions = page.locator("#quiz details")
    assert questions.count() >= 3
    for question in questions.all():
        question.locator("summary").focus()
        page.keyboard.press("Enter")
        assert question.locator(".sd-summary-content").is_visible()


SENTENCES = """() => {
  const lines = [...document.querySelectorAll('.bd-article p, .bd-article li')]
    .filter(line => !line.closest('.cell_output, .toctree-wrapper, figcaption'));
  return lines.map(line => {
    const copy = line.cloneNode(true);
    copy.querySelectorAll('pre, code, .math, ul, ol, li p, a:not([href*="glossary"])')
      .forEach(one => one.replaceWith(' | '));
    copy.querySelectorAll('a').forEach(one => one.replaceWith(`<${one.hash} ${one.textContent}>`));
    return copy.textContent;
  }).join(' | ');
}"""
EVERYDAY = {"balance", "control", "interaction", "interval", "label", "record", "round", "sample"}


def test_words_of_the_glossary_are_linked_at_first_use(visit, html, chapter):
    """But for those that have an everyday meaning, too."""
    listed = (html / "book/glossary.html").read_text(encoding="utf-8")
    terms = re.findall(r'<dt id="(term-[^"]*)">([^<]+)<', listed)
    assert len(terms) > 80
    text = visit(chapter).evaluate(SENTENCES)
    plain = re.sub(r"<#[^>]*>", lambda link: "#" * len(link[0]), text)
    for anchor, term in terms:
        case = re.I if term == term.lower() else 0
        use = re.search(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", plain, case)
        if use and term not in EVERYDAY:
            assert 0 <= text.find(f"<#{anchor} ") < use.start(), (
                term,
                plain[use.start() - 60 :][:90],
            )


def test_lost_readers_find_the_way_back(html):
    page = (html / "404.html").read_text(encoding="utf-8")
    assert "/allm/book/index.html" in page


def test_front_door_leads_to_the_landing_page(browser, site):
    with browser.new_page() as page:
        page.goto(site)
        page.wait_for_url(f"{site}{TOC['root']}.html")


@pytest.mark.parametrize(("width", "lowest"), [(1300, 900), (390, None)])
def test_landing_page_is_one_screen_on_a_desk_and_whole_on_a_phone(browser, site, width, lowest):
    with browser.new_page(viewport={"width": width, "height": 900}) as page:
        page.goto(f"{site}{TOC['root']}.html")
        places = [
            one.bounding_box() for one in page.locator(".landing img, .landing .sd-card").all()
        ]
        assert len(places) == 10  # six cells, the chart, three doors
        for place in places:
            assert place["x"] + place["width"] <= width
            assert not lowest or place["y"] + place["height"] <= lowest


def test_search_finds_the_disease(browser, site):
    with browser.new_page() as page:
        page.goto(f"{site}search.html?q=leukemia")
        page.locator("#search-results li").first.wait_for()


def test_constants_are_told_in_whole_sentences(html):
    """Napoleon would take the words before a colon for a type."""
    page = BeautifulSoup((html / "book/api.html").read_text(encoding="utf-8"), "html.parser")
    assert "Type:" not in {part.text for part in page.select("dl.py.data dt")}
