"""What a person does to a replay: playing, stepping, going to moments, marks and loops."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Coroutine, Sequence
from string import ascii_lowercase, digits
from typing import Any

from msgspec import Struct

from agentmon.core.landmarks import Kind, Landmark
from agentmon.core.text import clean
from agentmon.engine.feed import Mark, Transport
from agentmon.engine.past import BACK
from agentmon.report.words import clock_text
from agentmon.ui.deck_commands import MOMENTS
from agentmon.ui.rewinding import Rewinding
from agentmon.ui.screens.asking import AskScreen, Choice, MenuScreen
from agentmon.ui.sites import Site


class Aim(Struct, frozen=True):
    """Landmarks that one looks for together; no kinds: all of them."""

    words: str
    kinds: tuple[Kind, ...] = ()


ANY = Aim("landmark")
ERRORS = Aim("error or failed call", ("error", "failed", "kill", "interrupt"))
STALLS = Aim("stall", ("stall",))
WAITS = Aim("permission wait", ("permission",))

MENU: dict[str, Aim] = {
    "u": Aim("prompt", ("prompt",)),
    "e": ERRORS,
    "s": STALLS,
    "p": WAITS,
    "t": Aim("slow or overdue tool", ("slow", "overdue")),
    "m": Aim("message between agents", ("message",)),
    "r": Aim("retry", ("retry",)),
    "l": Aim("loop of equal calls", ("loop",)),
    "c": Aim("compaction", ("compaction",)),
    "a": ANY,
}
"""Where the menu of jumps leads, by its key."""

Answered = Callable[[str | None], None]

_MARK_KEYS = digits[1:] + ascii_lowercase


def nearest(
    landmarks: Collection[Landmark], kinds: Collection[Kind], now: float, direction: int
) -> Landmark | None:
    """The next (1) or last (-1) landmark of some kinds, of any where none is named; None: none."""
    found = [one for one in landmarks if not kinds or one.kind in kinds]
    times = [one.time for one in found]
    place = bisect_right(times, now) if direction > 0 else bisect_left(times, now) - 1
    return found[place] if 0 <= place < len(found) else None


class Decking(Rewinding):
    """The commands of the tape deck. Ways to another moment are gone beside the keys, which may
    lead elsewhere meanwhile."""

    _sought = ""
    """What was last found in time."""
    _far = 0
    """Ways under way that are no steps: where they lead is not known before they are at their end,
    so no step is taken from there, and no mark set."""

    @property
    def _deck(self) -> Transport:
        transport = self.screen.feed.transport
        if transport is None:
            raise RuntimeError("only in a replay")
        return transport

    def _moved(self) -> None:
        self.screen.move_clock()
        self.screen.transport_bar.sync()
        self.screen.tick()

    def _go(
        self,
        way: Coroutine[Any, Any, str | None],
        site: Site | None = None,
        *,
        is_step: bool = False,
    ) -> None:
        """Goes somewhere, then chooses what is there; says the sentence where that can't be."""
        screen = self.screen
        screen.view.moving += 1
        self._far += not is_step
        screen.transport_bar.sync()

        async def gone() -> None:
            try:
                problem = await way
                self._moved()
                if problem:
                    screen.say(clean(problem, newline=False))
                elif site is not None:
                    await self.go(site)
            except Exception as error:
                screen.say(f"Replay: {clean(str(error), newline=False)}", "error")
            finally:
                screen.view.moving -= 1
                self._far -= not is_step
                self._moved()

        screen.run_worker(gone(), group="deck", exit_on_error=False)

    async def _seek(self, moment: float, words: str) -> None:
        await self._deck.seek(moment)
        self.screen.say(words, "accent")

    def _hold(self) -> None:
        """Who looks for something wants to look at it: it does not play on from there."""
        if self._deck.playing:
            self._deck.toggle()

    # Playing

    def play(self) -> None:
        self._deck.toggle()
        self._moved()

    def faster(self) -> None:
        self._deck.faster()
        self._moved()

    def slower(self) -> None:
        self._deck.slower()
        self._moved()

    def restart(self) -> None:
        """What stands still goes on standing still, there."""
        deck = self._deck
        self._go(deck.restart() if deck.playing or deck.ended else deck.seek(deck.start))

    def to_end(self) -> None:
        self._go(self._deck.seek(self._deck.end))

    def collapse_idle(self) -> None:
        deck = self._deck
        deck.collapses_idle = not deck.collapses_idle
        words = "passes in a second" if deck.collapses_idle else "plays at its length"
        self.screen.say(f"Time without events {words}", "accent")
        self._moved()

    # In the past of a live screen

    def further_back(self) -> None:
        self._go(self._further_back())

    async def _further_back(self) -> str | None:
        """What has played to its end plays again."""
        deck = self._deck
        has_ended = deck.ended
        await deck.seek(self.screen.feed.now() - BACK)
        if has_ended and not deck.playing:
            deck.toggle()
        return None

    def to_live(self) -> None:
        self.screen.dismiss(None)

    # Stepping

    def step_on(self) -> None:
        self._step(1)

    def step_back(self) -> None:
        self._step(-1)

    def block_on(self) -> None:
        self._step(1, is_block=True)

    def block_back(self) -> None:
        self._step(-1, is_block=True)

    def _step(self, direction: int, *, is_block: bool = False) -> None:
        if self._is_there():
            deck = self._deck
            self._go(deck.step_block(direction) if is_block else deck.step(direction), is_step=True)

    def _is_there(self) -> bool:
        if self._far:
            self.screen.say("Still on the way there")
        return not self._far

    # Going

    def go_to(self) -> None:
        def typed(text: str | None) -> None:
            if text:
                self._go(self._deck.go(text))

        self._ask("Go to", MOMENTS, "", typed)

    def jump(self) -> None:
        """Small letters lead on, capital ones back."""

        def chosen(key: str | None) -> None:
            if key is not None:
                self._jump(MENU[key.lower()], 1 if key.islower() else -1)

        choices = [((key, key.upper()), aim.words) for key, aim in MENU.items()]
        self._menu("Jump to the next, or with Shift to the last", choices, chosen)

    def _jump(self, aim: Aim, direction: int) -> None:
        deck = self._deck
        found = nearest(deck.landmarks, aim.kinds, self.screen.feed.now(), direction)
        if found is None:
            where = "after" if direction > 0 else "before"
            words = f"No {aim.words} {where} this moment"
            if not deck.landmarks:
                words = "There is nothing to jump to yet: landmarks are known once all is indexed"
            elif deck.indexed is not None:
                words += f"; {100 * deck.indexed:.0f} % is indexed so far"
            self.screen.say(words)
            return
        self._hold()
        site = Site(
            found.kind,
            found.sid,
            found.agent_id,
            found.time,
            found.round_id,
            found.flow_id,
        )
        words = f"{found.kind} {clock_text(found.time)} · {clean(found.text, newline=False)}"
        self._go(self._seek(found.time, words), site)

    def jump_on(self) -> None:
        self._jump(ANY, 1)

    def jump_back(self) -> None:
        self._jump(ANY, -1)

    def error_on(self) -> None:
        self._jump(ERRORS, 1)

    def error_back(self) -> None:
        self._jump(ERRORS, -1)

    def stall_on(self) -> None:
        self._jump(STALLS, 1)

    def stall_back(self) -> None:
        self._jump(STALLS, -1)

    def wait_on(self) -> None:
        self._jump(WAITS, 1)

    # Finding

    def find_text(self) -> None:
        def typed(text: str | None) -> None:
            if text:
                self._sought = text
                self._find(1)

        self._ask("Find in time", "a text that was said", self._sought, typed)

    def find_on(self) -> None:
        self._find(1)

    def find_back(self) -> None:
        self._find(-1)

    def _find(self, direction: int) -> None:
        if self._sought:
            self._hold()
            self._go(self._deck.find(self._sought, direction))
        else:
            self.screen.say("Nothing was looked for yet: Ctrl+F finds a text")

    # Marks

    def mark_moment(self) -> None:
        """The recording is held while the note is written, so that it is of what was seen."""
        if not self._is_there():
            return
        deck = self._deck
        plays = deck.playing
        if plays:
            deck.toggle()
            self._moved()

        def typed(note: str | None) -> None:
            if note is not None:
                deck.mark(note)
                self.screen.say(f"Marked {clock_text(self.screen.feed.now())}: ' leads back")
            if plays:
                deck.toggle()
            self._moved()

        self._ask("Mark", "a note, or only Enter", "", typed)

    def marks(self) -> None:
        marks = dict(zip(_MARK_KEYS, self._deck.marks, strict=False))
        if not marks:
            self.screen.say("No moment is marked yet: m marks one")
            return

        def chosen(key: str | None) -> None:
            if key is not None:
                self._hold()
                self._go(self._deck.seek_number(marks[key].number))

        self._menu("Marks", [((key,), _words(mark)) for key, mark in marks.items()], chosen)

    # Questions

    def _ask(self, label: str, example: str, value: str, then: Answered) -> None:
        ascii_only = self.screen.view.ascii_only
        self.screen.app.push_screen(AskScreen(label, example, value, ascii_only=ascii_only), then)

    def _menu(self, title: str, choices: Sequence[Choice], then: Answered) -> None:
        ascii_only = self.screen.view.ascii_only
        self.screen.app.push_screen(MenuScreen(title, choices, ascii_only=ascii_only), then)

    # Loops

    def loop_from(self) -> None:
        """The beginning, or another one of the loop that there is."""
        deck, view, now = self._deck, self.screen.view, self.screen.feed.now()
        end = None if deck.loop is None else deck.loop[1]
        if end is not None and now < end:
            deck.loop = now, end
        else:
            deck.loop, view.loop_start = None, now
        self._moved()

    def loop_to(self) -> None:
        """The end; without a beginning before it, the loop is from the very first moment."""
        deck, view, now = self._deck, self.screen.view, self.screen.feed.now()
        start = view.loop_start if deck.loop is None else deck.loop[0]
        if start is None or start >= now:
            start = deck.start
        if start >= now:
            self.screen.say("A loop ends after it begins: go on first")
            return
        deck.loop, view.loop_start = (start, now), None
        self._moved()

    def loop_off(self) -> None:
        self._deck.loop = self.screen.view.loop_start = None
        self._moved()


def _words(mark: Mark) -> str:
    words = clock_text(mark.time), f"#{mark.number}", clean(mark.note, newline=False)
    return " · ".join(filter(None, words))
