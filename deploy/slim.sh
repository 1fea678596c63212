#!/bin/sh
# Take out of an environment what the program never runs: a third of it. The image is built with this; tests/machines tries what is left.
#   sh slim.sh /opt/rebalanced
set -eu
cd "$1"/lib/python3*/site-packages

# Headers, sources and tests that packages bring along.
rm -rf pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests pyarrow/_pyarrow_cpp_tests*
rm -rf numpy/tests numpy/*/tests numpy/_core/include numpy/_core/lib numpy/f2py numpy/distutils
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' \) -delete

# pyarrow: files are read from a disk only; of three copies of a library the linker looks for one.
rm -rf pyarrow/*flight* pyarrow/*s3*
rm -f pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.*

# ccxt: only its classes for asyncio are used (daemon/io/ccxt_library.py).
for module in ccxt/async_support/[a-z]*.py; do
    rm -f "ccxt/${module##*/}"
done
rm -rf ccxt/test ccxt/*/test ccxt/prediction

# plotly: the script that pages hold is read out of its package; skfolio, where it is there, imports the rest.
if [ ! -d skfolio ]; then
    find plotly _plotly_utils -type f ! -path plotly/__init__.py ! -path plotly/package_data/plotly.min.js -delete
    rm -rf narwhals
fi

find . -name __pycache__ -prune -exec rm -rf {} +
find . -type d -empty -delete
find "$1/bin" -type f ! -name rebalanced -delete
