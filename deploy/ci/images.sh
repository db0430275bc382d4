#!/usr/bin/env bash
# Builds the container images with buildah, without a container engine or a registry of images, and starts what is in them. Their base
# images are stand-ins made here, under the names that the Dockerfiles use: Debian with bun, node and deno from npm.
#   deploy/ci/images.sh [actor:bun] [actor:deno] [learner:cpu] [learner:vulkan] [learner:cuda]     (without arguments all but cuda)
# Needs root, buildah and debootstrap (apt-get install buildah crun debootstrap), and npm; what is made stays in .cache/images.
set -euo pipefail
cd "$(dirname "$0")/../.."
targets=("$@")
[ $# -gt 0 ] || targets=(actor:bun actor:deno learner:cpu learner:vulkan)

for program in buildah debootstrap npm; do
  command -v $program >/dev/null || { echo "skip  container images (no $program)"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "skip  container images (not root)"; exit 0; }

work=$PWD/.cache/images
certificates=/etc/ssl/certs/ca-certificates.crt
mkdir -p "$work"
exec 9>"$work/lock"
flock 9 # one at a time: what one leaves behind, the other would take away
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
say() { printf '%s\n' "$*"; }

case $(uname -m) in
  x86_64) cpu=x64 deno_cpu=x64 ;;
  aarch64) cpu=aarch64 deno_cpu=arm64 ;;
  *) say "skip  container images (no stand-ins for $(uname -m))"; exit 0 ;;
esac
node_cpu=${cpu/aarch64/arm64}

# The version that follows a name in a FROM line.
version_of() { sed -nE "s|^FROM $1([0-9][0-9.]*).*|\1|p" deploy/docker/*.Dockerfile | head -n 1; }
bun=$(version_of oven/bun:) deno=$(version_of denoland/deno:distroless-) node=$(version_of node:)

# package NAME VERSION: the folder of a package from npm.
package() {
  local folder=$work/npm/$1@$2
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.part" && mkdir -p "$folder.part"
    npm install --silent --no-save --ignore-scripts --force --prefix "$folder.part" "$1@$2" >&2
    mv "$folder.part" "$folder"
  fi
  echo "$folder/node_modules/$1"
}

have() { b image exists "$1" 2>/dev/null || b inspect --type image "$1" >/dev/null 2>&1; }

# stand_in NAME BASE SETTINGS SOURCE TARGET…: an image with files added.
stand_in() {
  local name=$1 base=$2 settings=$3 container
  shift 3
  have "$name" && return
  container=$(b from --pull-never "$base")
  while [ $# -gt 0 ]; do
    b copy --quiet "$container" "$1" "$2" >/dev/null
    shift 2
  done
  # shellcheck disable=SC2086
  b config --env NODE_EXTRA_CA_CERTS=$certificates --env SSL_CERT_FILE=$certificates --env PIP_CERT=$certificates $settings "$container"
  b commit --quiet "$container" "$name" >/dev/null
  b rm "$container" >/dev/null
}

if [ ! -d "$work/debian" ]; then
  say "      Debian (minutes, once)"
  rm -rf "$work/debian.part"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$work/debian.part" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 5 "$work/debootstrap.log"; exit 1; }
  cp $certificates "$work/debian.part$certificates"
  mv "$work/debian.part" "$work/debian"
fi

say "      base images: bun $bun, deno $deno, node $node"
bun_file=$(package "@oven/bun-linux-$cpu" "$bun")/bin/bun
deno_file=$(package "@deno/linux-$deno_cpu-glibc" "$deno")/deno
chmod +x "$bun_file" "$deno_file"
stand_in localhost/debian scratch "--workingdir /" "$work/debian" /
stand_in "localhost/oven/bun:$bun" localhost/debian "" "$bun_file" /usr/local/bin/bun
stand_in "localhost/oven/bun:$bun-slim" localhost/debian "" "$bun_file" /usr/local/bin/bun
node_folder=$(package "node-linux-$node_cpu" "$node")
mkdir -p "$work/links"
for name in npm npx; do ln -sfn "../lib/node_modules/npm/bin/$name-cli.js" "$work/links/$name"; done
stand_in "localhost/node:$node-bookworm-slim" localhost/debian "" \
  "$node_folder/bin/node" /usr/local/bin/node "$(package npm 10)" /usr/local/lib/node_modules/npm "$work/links" /usr/local/bin

# distroless NAME PROGRAM TARGET PACKAGE…: the files of some of Debian's packages, a user without rights, and perhaps a program.
distroless() {
  local name=$1 program=$2 target=$3 root=$work/distroless list
  shift 3
  have "$name" && return
  rm -rf "$root" && mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},tmp,etc,root,home/nonroot}
  for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
  chmod 1777 "$root/tmp"
  for list in "${@/#/$work/debian/var/lib/dpkg/info/}"; do
    cat "$list":*.list "$list".list 2>/dev/null || true
  done | while read -r file; do
    if [ ! -d "$work/debian$file" ] || [ -L "$work/debian$file" ]; then echo ".$file"; fi
  done | grep -vE '^\./(lib|lib64|bin|sbin)$' | tar -C "$work/debian" -cf - -T - | tar -C "$root" -xf - --keep-directory-symlink
  install -D "$work/debian$certificates" "$root$certificates"
  echo "root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin" >"$root/etc/passwd"
  echo "nonroot:x:65532:" >"$root/etc/group"
  [ -z "$program" ] || install -D -m 755 "$program" "$root$target"
  stand_in "$name" scratch "--user 65532 --workingdir /home/nonroot" "$root" /
}
distroless "gcr.io/distroless/base-debian12:nonroot" "" "" base-files libc6 libssl3 ca-certificates tzdata
distroless "localhost/denoland/deno:distroless-$deno" "$deno_file" /bin/deno base-files libc6 libgcc-s1 libstdc++6 ca-certificates

# TensorFlow's image with the CPU's wheel instead of CUDA's: the addon is compiled against the same libraries.
tensorflow=$(version_of tensorflow/tensorflow:)
if [[ " ${targets[*]} " == *" learner:cuda "* ]] && ! have "localhost/tensorflow/tensorflow:$tensorflow-gpu"; then
  say "      TensorFlow $tensorflow (minutes, once)"
  container=$(b from --pull-never localhost/debian)
  b run --isolation chroot "$container" -- sh -c "apt-get update -qq && apt-get install -qq --yes --no-install-recommends python3 python3-pip &&
    pip install --quiet --break-system-packages --no-cache-dir tensorflow-cpu==$tensorflow" >"$work/tensorflow.log" 2>&1 ||
    { tail -n 20 "$work/tensorflow.log"; exit 1; }
  b commit --quiet "$container" "localhost/tensorflow/tensorflow:$tensorflow-gpu" >/dev/null
  b rm "$container" >/dev/null
fi

# In a container of an image, with its user and environment.
inside() {
  local image=$1 container status=0
  shift
  container=$(b from --pull-never "$image")
  b run --isolation chroot "$container" -- "$@" || status=$?
  b rm "$container" >/dev/null
  return $status
}

expected=$(sed -nE 's/^  "version": "(.*)",/\1/p' package.json)
failed=0
for target in "${targets[@]}"; do
  image=localhost/proxima-${target/:/-} started=$SECONDS log=$work/${target/:/-}.log
  case $target in
    actor:bun) say_version=(/proxima-actor --version) ;;
    actor:deno) say_version=(/bin/deno run --quiet --no-prompt --cached-only --allow-net --allow-read --allow-env --allow-sys deploy/actor-main.ts --version) ;;
    learner:*) say_version=(proxima --version) ;;
    *) say "expected actor:bun, actor:deno, learner:cpu, learner:vulkan or learner:cuda, found '$target'"; exit 2 ;;
  esac
  if b build --isolation chroot --pull-never --target "${target#*:}" --file "deploy/docker/${target%:*}.Dockerfile" --tag "$image" . >"$log" 2>&1 &&
    found=$(inside "$image" "${say_version[@]}" 2>>"$log") && [ "$found" = "$expected" ]; then
    say "ok    $target is Proxima $found ($((SECONDS - started)) s)"
  else
    failed=1
    say "FAIL  $target ($((SECONDS - started)) s), said '${found-}'"
    tail -n 40 "$log" | sed 's/^/      /'
  fi
  b rm --all >/dev/null 2>&1 || true
done
exit $failed
