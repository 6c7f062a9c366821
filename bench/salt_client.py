"""Asks Salt, run by Salt's interpreter: CONFIG here | CONFIG one COMMAND COUNT | CONFIG many COMMAND CLIENTS SECONDS.

Prints one line of JSON: how many minions answer; the milliseconds of round trips, one after the other; or how many
results a second so many clients, each a process with one command for every minion in flight, get together.
"""

import json
import multiprocessing
import statistics
import sys
import time

import salt.client


def ask(client, command):
    arguments = ["true"] if command == "cmd.run" else []
    return client.cmd("*", command, arguments, timeout=15)


def here(config):
    client = salt.client.LocalClient(config)
    return {"minions": len(client.cmd("*", "test.ping", timeout=5))}


def one(config, command, count):
    client = salt.client.LocalClient(config)
    times = []
    for _ in range(int(count)):
        began = time.perf_counter()
        assert ask(client, command)
        times.append(1000 * (time.perf_counter() - began))
    times = sorted(times[2:])
    return {"p50_ms": statistics.median(times), "p95_ms": times[int(len(times) * 0.95)]}


def many(config, command, clients, seconds):
    results = multiprocessing.Value("q", 0)
    ready = multiprocessing.Barrier(int(clients))

    def work():
        client = salt.client.LocalClient(config)
        ask(client, command)
        ready.wait()
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            found = len(ask(client, command) or ())
            if time.monotonic() < end:
                with results.get_lock():
                    results.value += found

    workers = [multiprocessing.Process(target=work) for _ in range(int(clients))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"jobs_per_s": results.value / float(seconds)}


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    config, what, *arguments = sys.argv[1:]
    print(json.dumps({"here": here, "one": one, "many": many}[what](config, *arguments)))
