"""Write the parts of docs/ that are made of the source."""

from tests.pages import pages

for path, _, text in pages():
    path.write_text(text, encoding="utf-8")
