# Two commands: 'make demo' shows the narration, 'make test' runs all tests. 'make help' lists more.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
REQUIREMENTS := $(wildcard requirements/*.txt)
STAMP := $(VENV)/.installed

# An index with the torch to install; empty: for the CPU where there is no NVIDIA GPU.
TORCH_INDEX ?=
# Seconds until 'make demo' ends by itself; 0: it runs until Ctrl-C.
SECONDS ?= 0
# Where 'make demo' is to be seen: browser (a page, and lines in the terminal) or terminal.
VIEW ?= browser
# How many processes share the tests, a file at a time; 0: this one runs them all.
JOBS ?= 2
# More arguments of the program: make demo ARGS='--seed 3', make evaluate ARGS='--seed 7'
ARGS ?=

.PHONY: demo venv test lint train evaluate model-card check-bags check-days soak benchmark-bag \
	benchmark-pages benchmark-cameras benchmark-desk benchmark-drafts benchmark-stream \
	benchmark-transport pictures clean help

demo: venv  ## Narrate the demo camera live, in a browser or by VIEW=terminal; SECONDS=30 ends it
	@$(RUN) -m moss_ros.nodes.demo --seconds $(SECONDS) --view $(VIEW) $(ARGS)

venv: $(STAMP)  ## Make the virtual environment .venv with everything pinned (once)
ifeq ($(origin PYTHON),command line)
	@asked="$$($(PYTHON) -V)" && made="$$($(RUN) -V)" && [ "$$asked" = "$$made" ] || { \
	echo "$(VENV) is there with $$made, and $(PYTHON) is $$asked: make clean takes it away" >&2; \
	exit 1; }
endif

# The stamp is written last: an installation that was broken off is taken up again.
$(STAMP): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; \
	(3, 11) <= v <= (3, 13) or sys.exit("Python 3.11 to 3.13 is needed, and $(PYTHON) is %d.%d: \
	take another by  make PYTHON=python3.11 $(MAKECMDGOALS)" % v)'
	@TORCH_INDEX='$(TORCH_INDEX)' $(PYTHON) tools/make_venv.py $(VENV)
	@touch $@

test: venv  ## Run all tests (ARGS='test/nodes -k lifecycle' for some; JOBS=0 in one process)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: venv  ## Check the style as ament does
	$(RUN) -m flake8
	$(RUN) -m pydocstyle --property-decorators=none moss_ros tools launch test setup.py
	$(VENV)/bin/hadolint deploy/Containerfile.*

train: venv  ## Train the embedded model anew, from a seed
	$(RUN) -m moss_ros.training.train $(ARGS)

evaluate: venv  ## Score the embedded model on scenes it has never seen
	$(RUN) -m moss_ros.training.evaluate --num-scenes 200 --seed 1 $(ARGS)

# Folders of photographs and of video clips for the model card; without them it says less.
PHOTOS ?=
CLIPS ?=
model-card: venv  ## Measure the embedded model and write docs/model_card.md; PHOTOS=DIR CLIPS=DIR
	$(RUN) -m moss_ros.training.model_card --renderer test/training/other_renderer.py \
	$(if $(PHOTOS),--photos $(PHOTOS)) $(if $(CLIPS),--clips $(CLIPS)) $(ARGS)

check-bags: venv  ## Narrate 2,000 hostile bags; ARGS='--hypothesis-seed=7' takes others
	MOSS_NUM_BAGS=2000 OMP_NUM_THREADS=1 $(RUN) -m pytest test/bag/test_hostile_bags.py \
	-o faulthandler_timeout=0 --hypothesis-seed=1 $(ARGS)

check-days: venv  ## Narrate 200,000 frames in one go, and killed and resumed; compare the outputs
	$(RUN) -m tools.days_check $(ARGS)

soak: venv  ## Run a session and a narrator for a day of stream time; fail where anything grows
	@OMP_NUM_THREADS=1 $(RUN) -m tools.soak $(ARGS)

benchmark-bag: venv  ## Measure how fast bags are narrated, and in how much memory
	$(RUN) -m tools.bag_benchmark $(ARGS)

benchmark-pages: venv  ## Measure how fast a page of 10,000 narrations opens in Chromium
	$(RUN) -m tools.page_benchmark $(ARGS)

benchmark-cameras: venv  ## Measure how well several cameras are narrated, alone and together
	@$(RUN) -m tools.camera_benchmark $(ARGS)

benchmark-desk: venv  ## Measure what the desk and its browsers cost a narrator
	@$(RUN) -m tools.desk_benchmark $(ARGS)

benchmark-drafts: venv  ## Count what drafts of the next tokens save, and time what they cost
	@$(RUN) -m tools.draft_benchmark $(ARGS)

benchmark-stream: venv  ## Measure how fast a stream runs; ARGS='--preset 250m --peer transformers'
	@$(RUN) -m moss_ros.benchmark $(ARGS)

benchmark-transport: venv  ## Measure how many large images arrive over DDS, and how late
	@$(RUN) -m tools.transport_benchmark $(ARGS)

pictures: venv  ## Make the pictures of README and docs anew, of the embedded model's narration
	$(RUN) -m tools.pictures $(ARGS)
	$(RUN) -m tools.report_picture
	$(RUN) -m tools.desk_picture

clean:  ## Remove what builds and runs left behind, the virtual environment too
	rm -rf $(VENV) build install log *.egg-info .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-20s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
