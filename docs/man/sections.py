"""What manual pages say beyond the help of the commands.

A section is its title and its text: paragraphs, and lines "TERM :: what it is". An indented line
belongs to the one before.
"""

from __future__ import annotations

from typing import TypeAlias

Section: TypeAlias = tuple[str, str]

_WRONG = "A message on standard error names the file and what to do."
_EXIT = (
    "EXIT STATUS",
    f"""
0 :: Success; where something was checked, all of it is within.
1 :: A check failed, something was found to be wrong, or one of several processes was lost.
2 :: Wrong usage or input, or a check that would mean nothing. {_WRONG}
130 :: Interrupted.
""",
)
_GRGAN_EXIT = (
    "EXIT STATUS",
    f"""
0 :: Success.
1 :: A training diverged, or the command was interrupted.
2 :: Wrong usage or input. {_WRONG}
""",
)

_ENVIRONMENT = (
    "ENVIRONMENT",
    """
CMDMETRIC_CACHE :: The folder of everything that is kept: features, downloaded weights and
    references. By default ~/.cache/cmdmetric, $XDG_CACHE_HOME/cmdmetric, or the platform's own.
CMDMETRIC_CACHE_LIMIT :: How large the features may grow, as in 500MB or 2TB. By default 10GB.
    What was used longest ago leaves.
CMDMETRIC_REFERENCES :: Folders, separated as in PATH, with the files of named references.
HF_HUB_OFFLINE :: Where it is 1, nothing is downloaded.
OMP_NUM_THREADS :: Threads of a process's arithmetic.
""",
)

_FILES = (
    "FILES",
    """
~/.cache/cmdmetric/features/ :: The feature cache, one SQLite file.
~/.cache/cmdmetric/weights/ :: Weights that were downloaded, after saying so. Those of clip
    (~/.cache/clip) and of the Hugging Face Hub are found too.
~/.cache/cmdmetric/references/ :: References that were downloaded.
""",
)

#: Of every page, by program.
ALL: dict[str, tuple[Section, ...]] = {
    "cmd": (_EXIT, _ENVIRONMENT, _FILES),
    "cmdmetric": (_EXIT, _ENVIRONMENT, _FILES),
    "grgan": (_GRGAN_EXIT, _ENVIRONMENT, _FILES),
}

_SIDES = (
    "INPUTS",
    """
Images are a folder with all that is below it, a glob, a .zip, a .tar, numbered WebDataset tars
    ('s-{000..009}.tar'), an .npy or .npz of uint8 images, or an .npz that cmdmetric moments
    wrote.

Captions are COCO's annotations, Karpathy's split, JSON of {file: caption} or of records, JSONL,
    CSV, TSV, TXT, WebDataset's tars, or an .npz that cmdmetric moments wrote. A caption belongs
    to the image whose file name it gives; the ending may differ.

Where --real is not given, it is the images that the captions' file names, where they lie beside
    it, else coco2014-val where the captions are those of MS-COCO's val2014.

Any of them may be a URL (s3://, gs://, hf://, https://) with the extra cmdmetric[remote].
""",
)

_METRICS = (
    "METRICS",
    """
CMD = Dis(f,r) + ITDis and ITDis = |Dis(f,l) - Dis(r,l)|, where f are the generated images, r the
    real ones, l the captions, and Dis is the Fréchet distance of their features' Gaussians. Lower
    is better. Scores compare where their signatures differ in nothing but the counts of the
    generated side.

--metrics takes a list separated by commas:

clipscore, ref_clipscore :: How well each image fits its own caption.
r_precision, recall_at_k :: Whether its caption is found among others, and it among other images.
fjd :: Fréchet distance of images joined with their captions.
cmmd, clip_kid :: Kernel distances of CLIP's features.
prdc :: Precision, recall, density and coverage.
vendi :: Diversity of the generated images.
fid, kid, is :: Of Inception's features; see --inception-weights.
""",
)

_CHECKS = (
    "CHECKS",
    """
--check may be repeated. WHAT is one of

published:NAME :: A row of the paper's tables; cmdmetric published lists them.
FILE :: A score that -o wrote.
'KEY<=NUMBER' :: Any number of the JSON result, with <=, <, >=, > or ==. Keys of nested objects
    are joined by dots: 'uncertainty.cmd.debiased<8'.

A comparison has two sides: a better score than expected is outside as well.
""",
)

#: Of one page, before those.
OWN: dict[str, tuple[Section, ...]] = {
    "cmd-score": (_SIDES, _METRICS, _CHECKS),
    "cmdmetric-moments": (_SIDES,),
    "cmdmetric-doctor": (_SIDES,),
}

#: Further examples, as in the help of the commands: a line a command, with what it is for.
EXAMPLES = {
    "cmdmetric": """
cmdmetric doctor samples/ captions.json  # before a long run
cmdmetric score samples/ captions.json --real photos/  # the score
torchrun --nproc-per-node 8 -m cmdmetric score samples/ captions.json  # on eight GPUs
""",
    "cmd-score": """
cmd-score samples/ captions.json --metrics clipscore,fid --worst 5  # more metrics, the worst images
cmd-score samples/ captions.json --versus others/  # do two generators differ?
cmd-score a/ b/ c/ captions.json --report compare.html  # several, as a page
""",
    "cmdmetric-moments": """
cmdmetric moments photos/ -o real.npz  # real images, for cmd-score --real
cmdmetric moments samples/ -o part-3.npz --shard 3/64  # the share of one of 64 jobs
""",
    "cmdmetric-merge": """
cmdmetric merge part-*.npz -o samples.npz  # the shares of all jobs
""",
    "cmdmetric-published": """
cmdmetric published --table 1
cmdmetric published --format csv
""",
    "cmdmetric-cache": """
cmdmetric cache info
cmdmetric cache verify --cache-dir my-cache
""",
}
