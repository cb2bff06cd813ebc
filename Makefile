# make image [MANIFEST=manifests/kvm-trixie.yml]    build an image
# make boot [IMAGE=images/NAME.raw]                 boot it (by default the newest) in QEMU
# make test                                         lint, and all tests except long ones; TESTS=tests/unit
# make test-long                                    the long tests: real builds, other Pythons, short torture
# make test-host [RELEASE=trixie]                   the tests, except builds, in a chroot of that release:
#                                                   bookworm, trixie, sid; OPTIONS="-k punch"
# make bench [OPTIONS="--rounds 3 --images 10GiB"]  compare with other tools;
#                                                   OPTIONS=--scale: 16 TiB, a million holes, many at once
# make matrix [OPTIONS="--reclaim auto --sparsify punch,copy"]  every reclaim with every method, in real
#                                                   builds: an hour, 2 GiB in matrix/
# make torture [OPTIONS="kills --share 0.1"]         damage, signatures, kills, faults and others
# make docs                                         the pages of docs/ as HTML, in docs/_build/html
# make docs-links                                   check the external links in them
# make lint                                         ruff, mypy, docstrings, bandit
# make man completion                               write them into build/; PYTHON needs argparse-manpage, shtab
# make deb                                          the Debian package of the last commit, in build/deb

MANIFEST ?= manifests/kvm-bookworm.yml
IMAGE ?= $(shell ls -t images/*.raw 2>/dev/null | head -n 1)
RELEASE ?= trixie
PYTHON ?= python3
VENV = .venv
SUDO = $(shell test "$$(id -u)" = 0 || echo sudo)

BUILD_PACKAGES = python3 python3-venv debootstrap e2fsprogs fdisk mount parted pigz util-linux
BOOT_PACKAGES = python3 qemu-system-x86
DOCS_PACKAGES = python3 python3-venv graphviz
TEST_PACKAGES = $(BUILD_PACKAGES) $(BOOT_PACKAGES) $(DOCS_PACKAGES) acl bindfs btrfs-progs \
	exfat-fuse exfatprogs fish fuse3 git man-db qemu-utils strace xfsprogs zerofree zsh \
	$(FORMAT_PACKAGES)
# Signatures and files of formats that the engine leaves alone.
FORMAT_PACKAGES = android-sdk-libsparse-utils binutils bzip2 cpio cryptsetup-bin dosfstools \
	drbd-utils f2fs-tools jfsutils lz4 nilfs-tools ntfs-3g p7zip-full reiserfsprogs xz-utils zip \
	zstd
TORTURE_PACKAGES = apfsprogs bcache-tools btrfs-progs busybox cryptsetup-bin dosfstools drbd-utils \
	erofs-utils exfatprogs f2fs-tools genisoimage gfs2-utils hfsutils jfsutils kmod \
	linux-image-cloud-amd64 nilfs-tools ntfs-3g ocfs2-tools reiser4progs reiserfsprogs \
	squashfs-tools udftools
BENCH_PACKAGES = $(BUILD_PACKAGES) qemu-utils xfsprogs zerofree
DEB_PACKAGES = git build-essential debhelper dh-python pybuild-plugin-pyproject \
	python3-argparse-manpage python3-setuptools python3-shtab

# Install the missing Debian packages.
missing = $$(for package in $(1); do \
	dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; \
	done)
apt = @set -- $(call missing,$(1)); test $$\# = 0 || { \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$$@"; }

.PHONY: image boot test test-long test-host bench matrix torture docs docs-links lint man completion deb \
	install-build install-boot install-deb install-docs install-test install-torture \
	install-bench

image: install-build $(VENV)/build
	$(SUDO) $(VENV)/bin/bvz-sparse build --log images/log $(MANIFEST)

boot: install-boot
	@test -n "$(IMAGE)" || { echo 'there is no image: run make image first' >&2; exit 1; }
	$(PYTHON) tests/build/boot.py $(IMAGE)

# A worker for each processor; tests that share a state of the machine are one xdist_group.
test: install-test lint
	$(VENV)/bin/python -m pytest -n auto --dist loadgroup -m "not long" $(TESTS)

test-long: install-test $(VENV)/test
	$(VENV)/bin/python -m pytest -n auto --dist loadgroup -m long $(TESTS)

# Without QEMU: images are built and booted on this host.
test-host:
	$(call apt,debootstrap git mount python3 util-linux)
	$(SUDO) $(PYTHON) tools/test_host.py $(RELEASE) \
		--packages "$(filter-out qemu-system-x86,$(TEST_PACKAGES))" \
		-n auto --dist loadgroup $(OPTIONS)

# The engine needs only Python.
bench: install-bench
	$(SUDO) $(PYTHON) -m tests.benchmark $(OPTIONS)

matrix: install-test $(VENV)/test
	$(SUDO) $(VENV)/bin/python -m tests.build.matrix matrix --boot $(OPTIONS)

torture: install-test install-torture $(VENV)/test
	$(SUDO) $(VENV)/bin/python -m tests.torture $(OPTIONS)

docs: install-docs $(VENV)/docs
	$(VENV)/bin/sphinx-build -W --keep-going -n -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

docs-links: install-docs $(VENV)/docs
	$(VENV)/bin/sphinx-build -q -b linkcheck docs docs/_build/links

lint: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python tools/docstrings.py
	$(VENV)/bin/bandit --quiet --configfile pyproject.toml --recursive bootstrapvz_sparse

man:
	$(PYTHON) tools/man.py build/man

completion:
	$(PYTHON) tools/completion.py build/completion

deb: install-deb
	rm -rf build/deb
	mkdir -p build/deb/source
	git archive HEAD | tar --extract --directory build/deb/source
	cd build/deb/source && dpkg-buildpackage --unsigned-source --unsigned-changes --build=binary
	@ls build/deb/*.deb

install-deb:
	$(call apt,$(DEB_PACKAGES))

install-build:
	$(call apt,$(BUILD_PACKAGES))

install-boot:
	$(call apt,$(BOOT_PACKAGES))

install-docs:
	$(call apt,$(DOCS_PACKAGES))

install-bench:
	$(call apt,$(BENCH_PACKAGES))

# Without root or sudo, tests that miss a program are skipped and name it.
install-test:
	$(if $(shell test "$$(id -u)" = 0 || sudo -n true 2>/dev/null && echo yes),\
		$(call apt,$(TEST_PACKAGES)),\
		@echo 'neither root nor sudo: no Debian packages are installed')

$(VENV)/build: requirement = .
$(VENV)/docs: requirement = .[docs]
$(VENV)/test: requirement = .[test,docs]
$(VENV)/build $(VENV)/docs $(VENV)/test: setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --use-pep517 -e $(requirement)
	touch $@
