#!/usr/bin/env bash
# The pages as a site, strictly: a link or an anchor that leads nowhere, or a page that its list of contents lacks, fails.
# `./dev docs` runs this alone, with nothing built before.
set -euo pipefail
cd "$(dirname "$0")/../.."
requirements=docs/site/requirements.txt
home=$SKEWLESS_CACHE_DIR/docs-$(cksum <$requirements | cut -d ' ' -f 1)
# The file is written last: without it an installation was ended half way.
if [ ! -e "$home/whole" ]; then
    python3 -m venv --clear "$home"
    "$home/bin/pip" install --quiet --disable-pip-version-check --requirement $requirements
    touch "$home/whole"
fi
export SITE_DIR=$SKEWLESS_CACHE_DIR/site
# The theme prints news of its successor before every build unless told not to.
export NO_MKDOCS_2_WARNING=1
# Not --quiet: that hides the warnings, too, for which a strict build fails.
"$home/bin/mkdocs" build --strict --clean --config-file docs/site/mkdocs.yml
echo "open $SITE_DIR/index.html, or serve it: python3 -m http.server --bind 127.0.0.1 --directory $SITE_DIR"
