"""Includes go one way: client -> proto <- server -> core; rpc -> batching -> engine -> model -> ops -> base."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
# What each room may include, beside itself. ("proto" headers are generated: attnd/v1, inference, google/rpc, grpc/health.)
ALLOWED = {
    "core/base": [],
    "core/ops": ["core/base"],
    "core/weights": [],
    "core/text": [],
    "core/attention": ["core/base"],
    "core/model": ["core/base", "core/ops", "core/weights", "core/text", "core/attention"],
    "core/engine": ["core/base", "core/ops", "core/attention", "core/model", "core/text"],
    "server/batching": ["core"],
    "server/ops": ["core", "server/batching", "server/rpc/services.h", "proto"],
    "server/rpc": ["core", "server/batching", "server/ops", "proto"],
    "client": ["proto"],
}
PROTO = re.compile(r"(attnd/v1|inference|google/rpc|grpc/health)/")
faults = []
for room, allowed in ALLOWED.items():
    files = [f for f in (root / room).rglob("*") if f.suffix in (".h", ".cc")]
    if not files:
        faults.append(f"{room}: no files")
    for file in files:
        for include in re.findall(r'#include "([^"]+)"', file.read_text()):
            kind = "proto" if PROTO.match(include) else include
            ours = kind == "proto" or re.match(r"(core|server|client|tests|bench)/", include)
            if ours and not include.startswith(room + "/") and not any(kind == a or kind.startswith(a + "/") for a in allowed):
                faults.append(f"{file.relative_to(root)} includes {include}")
print("\n".join(faults) or "includes go one way")
sys.exit(bool(faults))
