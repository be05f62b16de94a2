"""What a look at an attack showed, and what follows: does the house hold."""

import dataclasses
import statistics

from house import CALL_MAX_S, DISPLAY_RATE_HZ

# Of its own pictures in peace, what the viewer keeps.
PICTURES_KEPT_MIN = 0.9
# In peace fewer than this share of what the display shows: the machine is too slow to tell anything.
PEACE_MIN = 0.5
# Where a list takes longer in peace than it may, the bound is so many times that.
LIST_MAX_S, LIST_MAX_TIMES_PEACE = 1.0, 5
RESIDENT_GROWTH_MAX_MB = 64
OPEN_FILES_MORE_MAX = 16
AFTERMATH_S = 10
# Others who use more of the machine's cores than this may be what was measured.
OTHERS_MAX_CORES = 0.25
# Looks beyond those that are wanted, for those that others have spoilt.
SPOILT_MAX = 3


@dataclasses.dataclass
class Pair:
    """What was seen in peace and under attack."""
    pictures_before: int = 0
    pictures_during: int = 0
    list_before_s: float = 0.0
    list_worst_s: float = 0.0
    list_error: str = ""
    resident_before_mb: float = 0.0
    resident_most_mb: float = 0.0
    resident_after_mb: float = 0.0
    files_before: int = 0
    files_most: int = 0
    files_after: int = 0
    seconds: float = 0.0
    # What the attacker counted, on connections that were served.
    done: dict = dataclasses.field(default_factory=dict)
    # Of the daemon's count: connections that it had open more than in peace, at most, and those that
    # it did not take or cut off, by reason.
    held: int = 0
    refused: dict = dataclasses.field(default_factory=dict)
    # Cores that neither we nor the attacker used meanwhile, but somebody.
    others_cores: float = 0.0
    # What ended that should not have: the daemon, the viewer, the attacker's own process.
    broken: str = ""

    @property
    def kept(self):
        return self.pictures_during / self.pictures_before if self.pictures_before else 0.0

    @property
    def list_max_s(self):
        slow = LIST_MAX_TIMES_PEACE * self.list_before_s
        return min(max(LIST_MAX_S, slow), CALL_MAX_S)

    @property
    def disturbed(self):
        return self.others_cores > OTHERS_MAX_CORES


@dataclasses.dataclass
class Attack:
    """What an attacker says of himself."""
    # What he counts at least in a second if nobody keeps him down.
    floor: dict
    # Nothing that he says is answered: whether he came in, only the daemon knows.
    silent: bool = False


# Why the daemon ended a connection that it had taken.
CUT_OFF = ("silent", "bytes", "calls")


def weakness(attack, pair):
    """Why the attack was none; empty if it was one."""
    # The daemon is new and has nobody to refuse but him.
    cut_off = any(pair.refused.get(why) for why in CUT_OFF)
    kept_down = cut_off or any(pair.done.get(what) for what in ("cut off", "refused"))
    came_in = cut_off or pair.done.get("served", 0) > 0
    if attack.silent:
        # Whom it turned away had as many as he may have before.
        kept_down = kept_down or any(pair.refused.values())
        came_in = kept_down or pair.held > 0
    if not came_in:
        return "too weak to tell: none of its connections was served"
    if kept_down:
        return ""
    for what, per_second in attack.floor.items():
        rate = pair.done.get(what, 0) / max(pair.seconds, 0.1)
        if rate < per_second:
            return f"too weak to tell: {rate:.0f} {what}/s, not {per_second}"
    return ""


def judge(attack, pairs):
    """What is wrong, one sentence each; empty if the attacker lost."""
    def median(of):
        return statistics.median(of(pair) for pair in pairs)

    wrong = [pair.broken for pair in pairs if pair.broken][:1]
    if median(lambda pair: pair.pictures_before / max(pair.seconds, 0.1)) < \
            PEACE_MIN * DISPLAY_RATE_HZ:
        wrong.append("the viewer has too few pictures in peace")
    kept = median(lambda pair: pair.kept)
    if kept < PICTURES_KEPT_MIN:
        wrong.append(f"the viewer kept {kept:.0%} of its pictures")
    worst = median(lambda pair: pair.list_worst_s)
    bound = median(lambda pair: pair.list_max_s)
    if worst > bound:
        wrong.append(f"`planecast list` took {worst:.1f} s, more than {bound:.1f}")
    error = [pair.list_error for pair in pairs if pair.list_error]
    if len(error) * 2 > len(pairs):
        wrong.append(f"`planecast list` failed: {error[0]}")
    growth = median(lambda pair: pair.resident_after_mb - pair.resident_before_mb)
    if growth > RESIDENT_GROWTH_MAX_MB:
        wrong.append(f"{growth:.0f} MB more {AFTERMATH_S} s after")
    more = median(lambda pair: pair.files_after - pair.files_before)
    if more > OPEN_FILES_MORE_MAX:
        wrong.append(f"{more:.0f} more open files {AFTERMATH_S} s after")
    weak = [weakness(attack, pair) for pair in pairs]
    if sum(map(bool, weak)) * 2 > len(pairs):
        wrong.append(next(filter(None, weak)))
    return wrong


AGAIN, HOLDS, WINS, NOT_TOLD = "again", "holds", "wins", "not told"


def decide(attack, pairs, wanted, tries):
    """(one of the four above, why) after these looks, of which `wanted` are to be had, and `tries` if
    one is wanted and was bad."""
    broken = [pair.broken for pair in pairs if pair.broken]
    if broken:
        return WINS, broken[:1]
    bad = [bool(judge(attack, [pair])) for pair in pairs]
    # Who holds beside others as well holds. Who doesn't may not be to blame.
    told = [(pair, is_bad) for pair, is_bad in zip(pairs, bad) if not (is_bad and pair.disturbed)]
    if wanted == 1 and told and not told[0][1]:
        return HOLDS, []
    wanted = max(wanted, tries) if wanted == 1 else wanted
    if len(told) >= wanted:
        wrong = judge(attack, [pair for pair, _ in told])
        return (WINS, wrong) if wrong else (HOLDS, [])
    if len(pairs) >= wanted + SPOILT_MAX:
        busy = statistics.median(pair.others_cores for pair in pairs)
        return NOT_TOLD, [f"the machine is busy: others used {busy:.1f} cores meanwhile"]
    return AGAIN, []


# --- can each criterion fail


def self_test():
    good = Pair(150, 148, 0.05, 0.2, "", 80, 120, 100, 40, 90, 44, 5,
                {"streams": 50_000, "served": 3})
    weak = {"done": {"streams": 9000, "served": 3}}
    loud, silent = Attack({"streams": 2000}), Attack({"streams": 2000}, silent=True)
    cases = [
        ("a good one", loud, {}, ""),
        ("pictures lost", loud, {"pictures_during": 134}, "kept 89%"),
        ("no peace", loud, {"pictures_before": 20, "pictures_during": 20}, "too few pictures"),
        ("a slow list", loud, {"list_worst_s": 1.1}, "took 1.1 s"),
        ("a slow list on a slow machine", loud, {"list_before_s": 0.3, "list_worst_s": 1.4}, ""),
        ("a slower one", loud, {"list_before_s": 0.3, "list_worst_s": 1.6}, "took 1.6 s"),
        ("no bound", loud, {"list_before_s": 3, "list_worst_s": 5.1}, "took 5.1 s"),
        ("a failed list", loud, {"list_error": "UNAVAILABLE"}, "failed: UNAVAILABLE"),
        ("memory kept", loud, {"resident_after_mb": 145}, "65 MB more"),
        ("files kept", loud, {"files_after": 57}, "17 more open files"),
        ("a crash", loud, {"broken": "the daemon ended"}, "the daemon ended"),
        ("a weak attack", loud, weak, "too weak"),
        ("no attack", loud, {"done": {"served": 1}}, "too weak"),
        ("cut off", loud, {"done": {"streams": 9000, "served": 1, "cut off": 1}}, ""),
        ("cut off, the daemon says", loud, weak | {"refused": {"bytes": 1}}, ""),
        ("cut off before an answer", loud, {"done": {}, "refused": {"bytes": 1}}, ""),
        ("refused", loud, {"done": {"refused": 1, "served": 1}}, ""),
        ("a closed door", loud, {"done": {"streams": 50_000, "turned away": 900}},
         "none of its connections was served"),
        ("a closed door, the daemon says", loud,
         {"done": {"cut off": 900}, "refused": {"after_flood": 900}, "held": 9},
         "none of its connections was served"),
        ("silent and held", silent, {"done": {"streams": 50_000}, "held": 9}, ""),
        ("silent and too few", silent, {"done": {"streams": 9}, "held": 9}, "too weak"),
        ("silent and cut off", silent, {"done": {"streams": 9}, "refused": {"silent": 1}}, ""),
        ("silent and too many", silent, {"done": {"streams": 9}, "refused": {"too_fast": 1}}, ""),
        ("silent and never there", silent, {"done": {"streams": 50_000, "turned away": 1}},
         "none of its connections was served"),
    ]
    wrongs = []
    for what, attack, change, expected in cases:
        wrong = "; ".join(judge(attack, [dataclasses.replace(good, **change)]))
        if expected not in wrong or bool(expected) != bool(wrong):
            wrongs.append(f"{what}: wanted {expected!r}, have {wrong!r}")

    bad = dataclasses.replace(good, pictures_during=0, list_worst_s=5)
    unserved = dataclasses.replace(good, done={})
    dead = dataclasses.replace(good, broken="the daemon ended")
    # Beside others the same.
    luck, spoilt, lost = (dataclasses.replace(pair, others_cores=0.5)
                          for pair in (good, bad, dead))
    looks = [
        ([good], 1, HOLDS), ([luck], 1, HOLDS), ([bad], 1, AGAIN), ([dead], 1, WINS),
        ([lost], 1, WINS), ([good], 3, AGAIN),
        # One bad look of three is bad luck, two are not.
        ([bad, good], 1, AGAIN), ([bad, good, good], 1, HOLDS), ([bad, good, bad], 1, WINS),
        ([good, bad, good], 3, HOLDS), ([bad, good, bad], 3, WINS),
        ([unserved, good, unserved], 1, WINS), ([unserved, good, good], 1, HOLDS),
        # What was spoilt is as if it had not been.
        ([spoilt], 1, AGAIN), ([spoilt, good], 1, HOLDS), ([spoilt, bad, good, bad], 1, WINS),
        ([spoilt] * 5, 1, AGAIN), ([spoilt] * 6, 1, NOT_TOLD),
        ([bad, bad, spoilt, spoilt, spoilt, spoilt], 1, NOT_TOLD),
    ]
    for pairs, wanted, expected in looks:
        state, _ = decide(loud, pairs, wanted, 3)
        if state != expected:
            wrongs.append(f"{[judge(loud, [pair]) for pair in pairs]}: wanted {expected}, "
                          f"have {state}")
    for line in wrongs:
        print(line)
    print(f"{len(cases) + len(looks) - len(wrongs)} passed, {len(wrongs)} failed")
    return 1 if wrongs else 0
