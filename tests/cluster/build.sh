#!/usr/bin/env bash
# Builds the programs that the tests and the demo run against, once, into a
# cache outside the source tree, and prints the directory that holds them:
# control-plane (with a symlink for each program in it), kwok, helm, kustomize.
#
# The directory's name is a hash of everything that decides its content, so
# what is there is never stale. It is made under another name and then renamed:
# it is complete or absent. The cache may be deleted whenever no test runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

key=$(cat go.mod go.sum ./*.go build.sh | sha256sum | cut -c1-16)
cache=${GREFFIER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/greffier}/control-plane
bin=$cache/$key

if [[ -d $bin ]]; then
    echo "$bin"
    exit
fi

if ! command -v go >/dev/null; then
    echo "tests/cluster/build.sh: go is missing: install Go $(sed -n "s/^go //p" go.mod) or newer and put it on PATH" >&2
    exit 1
fi

# One process builds; the others wait for it and then find it done.
mkdir -p "$cache"
exec 9>"$cache/$key.lock"
flock 9
if [[ -d $bin ]]; then
    echo "$bin"
    exit
fi

# Without a toolchain or C compiler of the machine's choosing, every machine
# builds the same thing, and nothing but modules is fetched.
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS=-mod=readonly

version_of() { go list -m -f '{{.Version}}' "$1"; }
kubernetes=$(version_of k8s.io/kubernetes)
minor=${kubernetes#v1.}

# kubectl and Helm refuse a server without a version. A variable of a package
# that a program does not link is ignored, so one list serves them all.
variables=(
    "k8s.io/component-base/version.gitVersion=$kubernetes"
    "k8s.io/component-base/version.gitMajor=1"
    "k8s.io/component-base/version.gitMinor=${minor%%.*}"
    "k8s.io/component-base/version.gitTreeState=clean"
    "helm.sh/helm/v4/internal/version.version=$(version_of helm.sh/helm/v4)"
    "sigs.k8s.io/kustomize/api/provenance.version=$(version_of sigs.k8s.io/kustomize/kustomize/v5)"
)

echo "tests/cluster/build.sh: building the test control plane into $bin (minutes the first time)" >&2
partial=$(mktemp -d "$cache/$key.partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT
go build -trimpath -buildvcs=false -ldflags "-s -w ${variables[*]/#/-X }" -o "$partial/" . tool >&2
for program in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl; do
    ln -s control-plane "$partial/$program"
done
chmod 755 "$partial"
mv -T "$partial" "$bin"
echo "$bin"
