"""Says among how many devices a batch is divided, and does nothing else: `python -m segtrain.device_count`.

A process that has asked TensorFlow holds its memory, and the devices, from then on. Standard input has the settings and
a folder for what it writes, as JSON; standard output has the number.
"""

import json
import sys

from segtrain.parts import start_tensorflow
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings


def main() -> None:
    answer, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed is no answer
    told = json.load(sys.stdin)
    try:
        trainer = start_tensorflow(TrainSettings(**told["settings"]), RunFolder(told["folder"]))
    except ValueError as error:
        sys.exit(str(error))
    print(trainer.num_replicas, file=answer, flush=True)


if __name__ == "__main__":
    main()
