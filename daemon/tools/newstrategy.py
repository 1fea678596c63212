"""New strategy: a user's first file, and a configuration that trades it on the demo's exchange.

Rule: nothing is overwritten.
"""

import re
from pathlib import Path
from typing import Final

TEMPLATE: Final = Path(__file__).with_name("strategytemplate.py")

STRATEGIES: Final = """\
strategies:
  - name: mine                  # required; its name in logs, targets and reports, each once
    use: ./{file}:Mine           # required; the class in the file beside this one
    share: 1                    # share of the capital; default 1; at most 1 together; or for all: equal | inverse_volatility
    budget: 1s                  # duration; default 1s; how long it may take over a bar before it is ended and holds its last targets
    schedule:
      every: 12                 # bars, or a duration like 24h; default 24; every twelve seconds, to see it work
      at_start: true            # default false; true: a fresh journal decides at once instead of at its first due time
    params: {{lookback: 20, top: 3, exposure: 0.8}} # default {{}}; the fields of the file's MineParams

"""


class CannotWrite(Exception):
    """The files cannot be written; one sentence."""


def write(file: Path, demo: Path) -> Path:
    """Write the strategy and, beside it, its configuration made of the demo's; the configuration's path.

    Raises:
        CannotWrite: the name is not that of a Python file, one of the two is there already, or the disk refuses.
    """
    config = file.with_suffix(".yaml")
    if file.suffix != ".py" or not re.fullmatch(r"[A-Za-z_]\w*", file.stem):
        raise CannotWrite(f"{file}: the file of a strategy has a name like my_strategy.py")
    for path in (file, config):
        if path.exists():
            raise CannotWrite(f"{path} exists and is not overwritten; choose another name")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        for path, text in ((file, TEMPLATE.read_text(encoding="utf-8")), (config, configuration(file.name, demo))):
            with path.open("x", encoding="utf-8") as out:
                out.write(text)
    except OSError as error:
        raise CannotWrite(f"{error.filename}: cannot be written ({error.strerror or 'I/O error'})") from None
    return config


def configuration(file: str, demo: Path) -> str:
    """The demo's configuration with this strategy in the place of its own, and a journal of its own."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(file).stem.lower()).strip("-")[:40].strip("-") or "mine"
    text = demo.read_text(encoding="utf-8")
    text = text[text.index("\nname:") + 1 :]
    text = re.sub(r"^name: demo\b", f"name: {name}", text, flags=re.MULTILINE)
    text = text.replace("path: var/demo.sqlite", f"path: var/{name}.sqlite")
    text = re.sub(r"^strategies:\n(?:[ #].*\n|\n)*", STRATEGIES.format(file=file), text, flags=re.MULTILINE)
    return f"# Trades ./{file} on the exchange of the demo: `rebalanced demo --config {Path(file).with_suffix('.yaml')}`.\n\n{text}"
