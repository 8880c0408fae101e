#!/usr/bin/env bash
# The first ten minutes of a new user, from a clone: install, score, one's own images, report, compare, gate.
# It prints each command and what that said. CMDMETRIC_BIN names an environment that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

say() { printf '\n## %s\n' "$1"; }
run() { printf '$ %s\n' "$*"; "$@" 2>&1; }

say "Install"
if [ -z "${CMDMETRIC_BIN:-}" ]; then
  run python3 -m venv "$out/venv"
  run "$out/venv/bin/pip" install -q '.[report]'
  CMDMETRIC_BIN="$out/venv/bin"
fi
PATH="$CMDMETRIC_BIN:$PATH"
run cmd-score --version

say "Score the example"
run cmd-score examples/generated examples/captions.json --model scenes-toy -q -o "$out/example.json"

say "Score a list of PIL images of one's own, from Python, and look at it as a notebook does"
cat > "$out/own.py" <<'PY'
from cmdmetric import Evaluator
from cmdmetric.scenes.drawing import draw_scene

scenes = [draw_scene(seed) for seed in range(160)]
images = [scene.render(16).resize((64, 64)) for scene in scenes]
prompts = [scene.captions(1)[0] for scene in scenes]
evaluator = Evaluator(real="examples/real", model="scenes-toy")
score = evaluator.score(images, prompts)
print(score)
print(repr(score))
print(score._repr_html_()[:60], "...")
PY
run python -W ignore "$out/own.py"

say "A report, and a comparison with what the bundled generator paints"
run grgan sample scenes-small examples/captions.json "$out/painted" > "$out/log" || { cat "$out/log"; exit 1; }
run cmd-score examples/generated examples/captions.json --model scenes-toy -q -b --report "$out/report.html"
run cmd-score examples/generated "$out/painted" examples/captions.json --model scenes-toy -q \
  --report "$out/compare.html"
ls -l "$out"/*.html | awk '{print $5, "bytes"}'
run cmd-score examples/generated examples/captions.json --versus "$out/painted" --model scenes-toy -q | head -4

say "A gate"
run cmd-score examples/generated examples/captions.json --model scenes-toy -q --short \
  --check "$out/example.json" --check 'cmd<=8.5' | tail -9
GITHUB_ACTIONS=true run cmd-score examples/generated examples/captions.json --model scenes-toy -q -b \
  --check 'cmd<=1' || echo "exit status $?"
