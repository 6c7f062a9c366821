"""The embedded store takes over its process's signals; guests that the server checks must still only trap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path

import wasmtime

from quarterdeck.store.telemetry.clickhouse import open_store
from quarterdeck.wasm.engine import Engine

engine = Engine()
text = '''(module (memory (export "memory") 1)
  (func (export "unreachable") unreachable)
  (func (export "outside") (result i32) (i32.load (i32.const 0x7fffffff)))
  (func (export "divide") (result i32) (i32.div_u (i32.const 1) (i32.const 0))))'''
instance_store = wasmtime.Store(engine.wasmtime)
instance_store.set_epoch_deadline(1 << 62)
exports = wasmtime.Instance(instance_store, engine.compile(bytes(wasmtime.wat2wasm(text))), []).exports(instance_store)
store = open_store(url="", path=Path(sys.argv[1]), memory_bytes=500_000_000)
for name in ("unreachable", "outside", "divide"):
    try:
        exports[name](instance_store)
    except wasmtime.Trap:
        print(name, "trapped")
store.close()
"""


def test_a_trap_is_only_a_trap(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "telemetry")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["unreachable trapped", "outside trapped", "divide trapped", ""]
