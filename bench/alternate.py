"""Programs by turns on the same cores: each runs for a fraction of a second while the others are stopped. A shared machine that is
fast and slow by the second is so for all of them alike, where runs of seconds one after the other differ by a third and more."""
import os
import signal
import time


def read_log(path):
    """Records of a program that writes a line "SECONDS AMOUNT" whenever it has done an amount: SECONDS as time.monotonic() has them."""
    total, records = 0.0, []
    for line in open(path).read().split("\n")[:-1]:  # the last one may be half written
        seconds, amount = map(float, line.split())
        total += amount
        records.append((seconds, total))
    return records


class Contender:
    """Processes that run together, and what they have done: records() is a list of (time.monotonic(), all that was done until then), or
    with `total` the one such record that the moment gives, none while that is 0. It is asked for while they run."""

    def __init__(self, processes, records=None, total=None):
        self.processes = processes
        self.records = records
        self.total = total
        self.seen = []
        self.turns = []  # (begin, end)

    def look(self):
        if self.records:
            self.seen = self.records()
        elif total := self.total():
            self.seen.append((time.monotonic(), total))

    def signal(self, number):
        for process in self.processes:
            os.kill(process.pid, number)

    def hold(self):
        """Waits until it has done something, then stops it. Returns false where it ended before."""
        while not self.seen:
            self.look()
            if any(process.poll() is not None for process in self.processes):
                return False
            time.sleep(0.05)
        self.signal(signal.SIGSTOP)
        return True

    def run(self, seconds, first, last):
        self.signal(signal.SIGCONT)
        begin = time.monotonic()
        if first:
            self.look()
        time.sleep(seconds)
        if last:
            self.look()
        self.turns.append((begin, time.monotonic()))
        self.signal(signal.SIGSTOP)

    def active(self, until):
        return sum(min(end, until) - begin for begin, end in self.turns if begin < until)

    def rate(self, warm_up):
        """A second of its turns, but for the first `warm_up`: from the first record after them to the last one, so that what is half
        done counts for neither time nor amount."""
        records = [r for r in self.seen if r[0] >= self.turns[warm_up][0]]
        if len(records) < 2:
            raise SystemExit(f"{self.processes[0].args} did too little to be measured: it needs more turns")
        (begin, before), (end, after) = records[0], records[-1]
        return (after - before) / (self.active(end) - self.active(begin))


def alternate(contenders, turns, seconds, warm_up=5):
    """What each of `contenders`, by name, does a second. They have `turns` turns of `seconds` each, there and back."""
    order = list(contenders.values())
    for turn in range(warm_up + turns):
        for contender in order if turn % 2 == 0 else reversed(order):
            contender.run(seconds, first=turn == warm_up, last=turn == warm_up + turns - 1)
    for contender in order:
        contender.signal(signal.SIGCONT)
    return {name: contender.rate(warm_up) for name, contender in contenders.items()}
