"""Command line: `sweep`, many backtests of one configuration."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import (
    AccountOption,
    BarsOption,
    ConfigPath,
    EndOption,
    ForMachines,
    StartOption,
    fail,
    mistakes,
    moment,
    progress,
    told,
)
from daemon.config.values import parse_duration

if TYPE_CHECKING:
    from daemon.research.sweep.folds import Walk

sweeping = typer.Typer()


@sweeping.command()
def sweep(
    config: ConfigPath,
    data: BarsOption,
    out: Annotated[Path, typer.Option(help="Directory for the results; what is there of the same sweep is not run again.")],
    swept: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH=VALUES]...", help="Keys and what is tried for them: strategies.momo.params.lookback=20,40 or =10..60:10."
        ),
    ] = None,
    grid: Annotated[Path | None, typer.Option(help="A YAML file of PATH: VALUES, instead or in addition.")] = None,
    random: Annotated[int | None, typer.Option(min=1, metavar="N", help="Draw N combinations instead of trying all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 1,
    train: Annotated[str | None, typer.Option(metavar="TIME", help="Walk forward: choose over so long a time, like 180d,")] = None,
    test: Annotated[str | None, typer.Option(metavar="TIME", help="and judge the choice over the time after, like 30d.")] = None,
    anchored: Annotated[bool, typer.Option("--anchored", help="Walk forward: choose over all there was since the beginning.")] = False,
    by: Annotated[str, typer.Option(help="What is to be high: sharpe, sortino, calmar, return, cagr or final_equity.")] = "sharpe",
    start: StartOption = None,
    end: EndOption = None,
    processes: Annotated[int | None, typer.Option(min=1, help="At once; as many as there are cores, if it is not given.")] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="URL", help="On Dask: tcp://HOST:8786, or local:4 for four processes here.")
    ] = None,
    account: AccountOption = "",
    as_json: ForMachines = False,
) -> None:
    """Backtest every combination of values of some keys, or some of them, and say how much of the best is luck."""
    from daemon.config import Variants
    from daemon.research.sweep import findings, page
    from daemon.research.sweep.cluster import Cluster
    from daemon.research.sweep.pool import Crew, Local
    from daemon.research.sweep.space import parameters
    from daemon.research.sweep.sweeping import Asked
    from daemon.research.sweep.sweeping import sweep as swept_over
    from daemon.routes import routes

    if by not in findings.OBJECTIVES:
        fail(f"--by {by} is not one of {', '.join(findings.OBJECTIVES)}", 2)
    if cluster is not None and processes is not None:
        fail("--processes is about this machine and --cluster about another: leave one of the two out", 2)
    first, last, walk = moment("--start", start), moment("--end", end), _walk(train, test, anchored)
    with mistakes():
        asked = Asked(data, out, parameters(swept or [], grid), random, seed, walk, by, first, last)
        crew: Crew = Local(processes or len(os.sched_getaffinity(0))) if cluster is None else Cluster(cluster)
        with progress("sweeping") as tell:
            found = swept_over(Variants(config, os.environ, account), asked, routes, crew, tell)
        written = page.write(found)
    if as_json:
        told({**page.in_numbers(found), "lost": crew.lost, "table": str(out / "sweep.parquet"), "report": str(written)})
        return
    typer.echo("\n".join(page.in_words(found)))
    if crew.lost:
        typer.echo(f"note: workers were lost {crew.lost} times, and what they were at was done again")
    typer.echo(f"rows in {out / 'sweep.parquet'}, report in {written}")


def _walk(train: str | None, test: str | None, anchored: bool) -> "Walk | None":
    """How a walk forward goes; None: there is to be none."""
    from daemon.research.sweep.folds import Walk

    if train is None and test is None:
        if anchored:
            fail("--anchored is how a walk forward goes: add --train 180d --test 30d", 2)
        return None
    if train is None or test is None:
        fail("--train and --test go together: --train 180d --test 30d", 2)
    return Walk(_length("--train", train), _length("--test", test), anchored)


def _length(option: str, given: str) -> timedelta:
    length = parse_duration(given)
    if not length:
        fail(f"{option} {given} is not a length of time, like 180d or 12h", 2)
    return length
