"""The largest sizes that are accepted from outside, each checked before memory is allocated for what it bounds.

The systemd unit has 400 MB. Sizes in bytes unless the name says otherwise; readers name the limit in their refusal.
"""

from __future__ import annotations

# pictures: decoding takes 1 byte a pixel in gray and 3 in colour
FRAME_PIXELS = 16_777_216  # of a camera's frame, or of a picture on a device: 4096 × 4096
# of a picture in a data set on the host; the largest telephones' have 108 million; `fer_edge` sets the same limit in OpenCV
PICTURE_PIXELS = 134_217_728
PICTURE_FILE_BYTES = 134_217_728  # of the file of one picture

# files that are read whole
JSON_BYTES = 16_777_216  # of bundle.json
TARGET_OUTPUT_BYTES = 1_048_576  # of what one step of a deploy prints on the target
INVENTORY_BYTES = 67_108_864  # of an Ansible inventory as JSON, with its hosts' variables
STATUS_FILE_BYTES = 65_536  # of an instance's status
MODEL_BYTES = 268_435_456  # of a .tflite file; `large`, the largest bundle of ours, has 4.3 million
ARRAY_FILE_BYTES = 67_108_864  # of the arrays of one .npz file after decompression; golden.npz has 0.9 million
SYNTHETIC_BYTES = 1_073_741_824  # of the arrays of synthetic.npz on the host
CHECKPOINT_BYTES = 8_589_934_592  # of the arrays of a training run's checkpoint.npz on the host
VOTES_BYTES = 67_108_864  # of a table of FER+ votes after decompression; fer2013new.csv has 1.4 million

# journals
JOURNAL_LINE_BYTES = 1_048_576  # of one line; the longest that a run writes has 5,000
JOURNAL_SEGMENT_BYTES = (
    67_108_864  # of a segment that `fetch` compares line by line; the largest of a run have 1.1 million
)
JOURNAL_LINE_BRACKETS = 500  # objects and lists in one line; a run's own have 10 at most

THREADS = 64  # of an interpreter
SETTINGS_BYTES = 65_536  # of a settings file

# archives
EXPANSION = (
    100  # times the compressed size that is read of a file in an archive; digits and pictures expand to 10 at most
)
EXPANSION_FROM_BYTES = 67_108_864  # below which a file may expand further
ARCHIVE_MEMBERS = 2_000_000  # of the names in one archive
CSV_ROW_BYTES = 16_777_216  # of one row of a CSV: 2,000 × 2,000 pixels in decimal digits
ARRAY_FILE_ARRAYS = 1_000  # of the arrays in one .npz file
CHECKPOINT_ARRAYS = 100_000  # of the arrays in a checkpoint.npz

# recorded video
REMOTE_VIDEO_BYTES = 274_877_906_944  # of a video that is fetched: 256 GB, a day in 4K
LABEL_INDEX_BYTES = 1_073_741_824  # of the index of an archive: about 3 million videos

# the first run of an unknown model, in a child process
TRIAL_MEMORY_BYTES = 4_294_967_296  # of addresses, of which the interpreter reserves far more than it uses
TRIAL_S = 60.0  # a Zero 2 W needs 3 s for `large`

# texts
LABEL_CHARS = 64  # of a label

# what a run may take beyond its memory at the start, so that the unit's 400 MB hold on four cores
RUN_GROWTH_BYTES = 134_217_728
RUN_GROWTH_BYTES_PER_CORE = 20_971_520
