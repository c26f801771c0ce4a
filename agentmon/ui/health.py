"""How agentmon itself is doing, as facts and in a few words. Pure."""

from agentmon.engine.feed import Status
from agentmon.report.words import UNKNOWN, age, size
from agentmon.ui.evidence import SPACE, Answer, Fact


def lag_text(milliseconds: float) -> str:
    """How far behind the source: "12 ms", "3.4 s"."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"


def words(status: Status) -> list[str]:
    """The figures of a header, the ones that stay longest first: lag, store, memory, CPU."""
    found = [lag_text(status.lag_ms)] if status.lag_ms is not None else []
    if status.store is not None:
        found.append(f"store {size(status.store.total)}")
    found.append(f"mem {status.rss_mb:.0f} MB")
    if status.cpu_percent >= 1:
        found.append(f"cpu {status.cpu_percent:.0f} %")
    return found


def answer(status: Status, data_dir: str) -> Answer:
    """All of it, for the overlay."""
    lag = "nothing new came yet" if status.lag_ms is None else lag_text(status.lag_ms)
    facts = [
        Fact("behind", lag if status.lag_ms is None else f"{lag} behind the source"),
        Fact("backlog", *_backlog(status)),
        Fact("inputs", f"{status.files} followed"),
        Fact("memory", f"{status.rss_mb:.0f} MB"),
        Fact("cpu", f"{status.cpu_percent:.0f} % of a core"),
        SPACE,
        *_store(status),
        Fact("in", data_dir),
    ]
    if status.taps:
        facts.append(SPACE)
        labels = ("paste", *[""] * len(status.taps))
        facts += [Fact(*pair, "accent") for pair in zip(labels, status.taps, strict=False)]
    if status.note and status.backlog is None:
        facts += [SPACE, Fact("note", status.note)]
    if status.problem:
        facts += [SPACE, Fact("problem", status.problem, "error")]
    return Answer("agentmon itself", facts)


def _backlog(status: Status) -> tuple[str, str]:
    if status.backlog is None:
        return "none: all that was there is read", ""
    words = status.note or "reading what was there"
    return f"{words}, {100 * status.backlog:.0f} % done", "accent"


def _store(status: Status) -> list[Fact]:
    store = status.store
    if store is None:
        return [Fact("store", UNKNOWN)]
    if store.texts is None:
        texts = "not measured yet"
    else:
        files = f"{size(store.texts.bytes)} in {store.texts.files:,} files"
        old = age(status.weighed_ago)
        texts = f"{files}, measured {old if old == 'now' else f'{old} ago'}"
    return [
        Fact("store", size(store.total) + ("" if store.texts is not None else " without texts")),
        Fact("database", size(store.database)),
        Fact("wal", size(store.wal)),
        Fact("texts", texts),
    ]
