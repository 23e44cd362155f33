#!/usr/bin/env bash
# Installs what tests with third-party programs need: tools.sh "DEBIAN PACKAGES" [--yes]
#
# Debian packages change the system, so somebody has to agree: at the terminal, by --yes, or by CI in the environment.
# Without that, the tests concerned are skipped, and here it says which programs they miss. What comes from npm lies
# within the checkout.
set -euo pipefail
cd "$(dirname "$0")/../.."
read -ra wanted <<<"$1"
shift
agreed=${CI:+yes}
for flag in "$@"; do
    case $flag in
    --yes) agreed=yes ;;
    *) echo "unknown flag $flag; there is --yes" >&2; exit 2 ;;
    esac
done

missing=()
if command -v apt-get >/dev/null; then
    for package in "${wanted[@]}"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
    done
fi
if ((${#missing[@]})); then
    if [ "$(id -u)" != 0 ]; then
        echo "missing: ${missing[*]}; their tests are skipped until you run: sudo apt-get install ${missing[*]}" >&2
        agreed=
    elif [ -z "$agreed" ] && [ -t 0 ] && [ -t 2 ]; then
        read -rp "Install the Debian packages ${missing[*]}? Without them, their tests are skipped. [y/N] " answer
        case $answer in [yY]*) agreed=yes ;; esac
    elif [ -z "$agreed" ]; then
        echo "missing: ${missing[*]}; their tests are skipped. To install these Debian packages: just tools --yes" >&2
    fi
    if [ -n "$agreed" ]; then
        echo "installing ${missing[*]} (once)"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq install --no-install-recommends "${missing[@]}" >/dev/null
    fi
fi

node=tests/interop/node
if ! command -v npm >/dev/null; then
    echo "missing: Node.js with npm; tests with grpc-js, wscat, Connect, Helm and a browser are skipped" >&2
elif [ -L $node/node_modules ]; then
    echo "$node/node_modules is a link: npm would empty the folder behind it, so it is left alone" >&2
elif ! [ $node/node_modules/.package-lock.json -nt $node/package-lock.json ]; then
    npm ci --prefix $node --silent --no-audit --no-fund
fi
