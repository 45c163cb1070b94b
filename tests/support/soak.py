"""For a given time an application writes while the tool migrates, is killed, resumes, rolls back.

``python tests/support/soak.py 3600`` does so for an hour and prints, and notes, what it did;
``python tests/support/soak.py 600 --replica-set --seed 3`` on a replica set, by another chance.

The application and the model in plain Python are those of :mod:`any_order`. Here the application
writes while the tool does: it signs up, writes, edits and deletes until the command has ended or
was killed at any moment. Whatever was interrupted is then finished with nobody in the way, or
taken back, and the database has to be what the model says.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from any_order import COLLECTIONS, DONE, KEPT, AnyOrder
from controlled_mongod import ControlledMongod
from processes import Processes
from pymongo import MongoClient
from survived import record

PENDING, INVALID = 3, 4
STEPS = 40  # in one database, before the next one
KILLED = 0.4  # of the commands
TAKEN_BACK = 0.3  # of the migrations that were killed


class Busy(AnyOrder):
    """The application does not wait for the tool."""

    def __init__(self, server, client, processes, name, chance, did):
        super().__init__(server, client, processes, name)
        self.chance, self.did = chance, did

    def run(self, command, point):
        self.did[command] += 1
        ended = self.meanwhile(command)
        if ended.killed:
            self.did["killed"] += 1
            self.ended(command, ended)
            if command != "rollback" and self.chance.random() < TAKEN_BACK:
                self.did["left to be taken back"] += 1
                return None
        elif command == "rollback":
            return self.ended(command, ended)
        else:
            assert ended.status in {DONE, KEPT, PENDING}, ended
        # What came in at the last moment is for the same command, with nobody in its way.
        return super().run(command, None)

    def meanwhile(self, command):
        """How the command ended, while the application wrote."""
        running = self.carry_out(command)
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(running.wait()))
        waiting.start()
        began, dies = time.monotonic(), self.chance.random() < KILLED
        at = self.chance.uniform(0.05, 1.2)
        while waiting.is_alive():
            # Somebody who writes into a workspace that is being deleted is nobody's model.
            self.application(natives=command != "rollback")
            self.did["writes of the application meanwhile"] += 1
            if dies and time.monotonic() > began + at and waiting.is_alive():
                running.send("SIGKILL")
                dies = False
            time.sleep(self.chance.uniform(0, 0.02))
        waiting.join()
        (ended,) = answers
        return ended

    def application(self, *, natives=True):
        """One thing that somebody does."""
        pick = self.chance.randrange(10**6)
        name = self.chance.choice(sorted(COLLECTIONS))
        what = self.chance.random()
        if what < 0.05:
            self.legacy_sign_up()
        elif what < 0.1 and natives:
            self.sign_up()
        elif what < 0.2 and self.documents:
            self.delete(which=pick)
        elif what < 0.5 and self.documents:
            self.edit(which=pick)
        else:
            held = self.chance.choice(["absent", "null", "text"])
            self.write_old(name=name, owner=pick, held=held)

    def validate(self):
        """The tool's own judgement: it comes to one, and says what it is."""
        self.did["validate"] += 1
        ended = self.processes.run(self.uri, "validate")
        assert ended.status in {DONE, PENDING, INVALID, KEPT}, ended


class Soak:
    """Databases one after the other, on one server.

    Attributes:
        did: What was done how often.
    """

    def __init__(self, server, client, processes, seed):
        self._make = lambda name: Busy(server, client, processes, name, self._chance, self.did)
        self._chance = random.Random(f"soak {seed}")
        self._name = f"newbi_test_soak_{seed}"
        self.did = Counter()
        self._story = None

    def go_on(self, seconds):
        """Go on for so long, and then to the end of what was begun."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.close()
            self.did["databases"] += 1
            story = self._story = self._make(f"{self._name}_{self.did['databases']}")
            story.begin(number=2)
            for _ in range(STEPS):
                self._step(story)
                if time.monotonic() >= end:
                    break
            while story.unfinished:
                self._command(story, story.unfinished)
            self._command(story, "migrate")
            self._command(story, "rollback")

    def _step(self, story):
        chance = self._chance
        for _ in range(chance.randrange(5)):
            story.application()
            if chance.random() < 0.2 and story.migrated():
                story.write_new(name="invoices", owner=chance.randrange(10**6))
        story.nothing_is_lost()
        if story.unfinished:
            self._command(story, chance.choice([story.unfinished, "rollback"]))
        else:
            self._command(story, chance.choice(["migrate", "backfill", "rollback"]))

    def _command(self, story, command):
        {"migrate": story.migrate, "backfill": story.backfill, "rollback": story.rollback}[command](
            point=None
        )
        story.nothing_is_lost()
        if command == "migrate" and not story.unfinished:
            story.validate()

    def close(self):
        if self._story is not None:
            self._story.teardown()
            self._story = None


def main():
    """Soak for so long; print and note what was done."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("seconds", type=float)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--replica-set", action="store_true")
    chosen = options.parse_args()
    began, failed, processes = time.monotonic(), [], Processes()
    with (
        ControlledMongod(replica_set=chosen.replica_set) as server,
        MongoClient(server.uri) as client,
    ):
        soak = Soak(server, client, processes, chosen.seed)
        try:
            soak.go_on(chosen.seconds)
        except AssertionError as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            failed.append(f"{place.name}: {place.line}: {error!r:.2000}")
        processes.close()
    kind = "replica set" if chosen.replica_set else "standalone"
    took = time.monotonic() - began
    record(
        f"soak on a {kind}",
        counts={f"soak: {name} | {kind}": number for name, number in soak.did.items()},
        failed=failed,
        seconds=took,
        seed=chosen.seed,
    )
    lines = [f"{number:,} {name}" for name, number in sorted(soak.did.items())]
    sys.stdout.write("\n".join([*failed, *lines, f"in {took:,.0f} s\n"]))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
