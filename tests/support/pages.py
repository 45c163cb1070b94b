"""Reports taken apart: a page as a browser reads it, an XML report held to JUnit's form."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

VOID = {"meta", "link", "br", "hr", "img", "input"}

# Jenkins' schema, which GitLab's and GitHub's readers follow: element, to the attributes it must
# and may have, and to the children it may have in this order.
JUNIT = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, set(), ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"skipped", "time", "timestamp"},
        ["testcase"],
    ),
    "testcase": (
        {"name", "classname", "time"},
        set(),
        ["skipped", "error", "failure", "system-out", "system-err"],
    ),
    "failure": ({"message", "type"}, set(), []),
    "skipped": ({"message"}, set(), []),
    "system-out": (set(), set(), []),
}


class Page(HTMLParser):
    """A page: its elements, its visible text, and whether every element is closed in order.

    Attributes:
        elements: Name and attributes of each element, in order.
        text: All text outside the style sheet.
    """

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.text = ""
        self._open = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert tag == self._open.pop()

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def junit(text):
    """The root of an XML report, after it was held to the form."""
    root = ET.fromstring(text)
    assert "testsuites" == root.tag
    for element in root.iter():
        needed, allowed, children = JUNIT[element.tag]
        assert needed <= element.attrib.keys() <= needed | allowed, element.tag
        order = [children.index(child.tag) for child in element]
        assert sorted(order) == order, element.tag
    for suite in (root, *root.iter("testsuite")):
        assert len(list(suite.iter("testcase"))) == int(suite.get("tests"))
        assert len(list(suite.iter("failure"))) == int(suite.get("failures"))
    return root
