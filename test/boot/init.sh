#!/bin/busybox sh
# The laboratory's first process. It does what Fedora CoreOS does between the kernel and the real root: runs Ignition on the
# config that was found, and tells on the console what came out of it. Lines for the tests begin with "lab: ".
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /bin
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
exec </dev/console >/dev/console 2>&1

finish() {
  echo "lab: done"
  poweroff -f
}

argument() {
  sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline
}

# Kernel messages between our lines would cut them in two.
echo 1 >/proc/sys/kernel/printk
echo "lab: cmdline $(cat /proc/cmdline)"
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
  insmod "/modules/$module.ko"
done

# Where the config comes from: the archive behind the initramfs, else the boot partition that the installer has filled.
if [ -e /config.ign ]; then
  config=/config.ign
else
  mkdir -p /boot
  for disk in /dev/vd?; do
    mount -t ext4 -o ro "$disk" /boot 2>/dev/null || continue
    [ ! -e /boot/ignition/config.ign ] || config=/boot/ignition/config.ign
    break
  done
fi
if [ -z "$config" ]; then
  echo "lab: no-config"
  finish
fi
echo "lab: config $(sha256sum "$config" | cut -d' ' -f1) $config"
for file in $(find /etc/coreos-firstboot-network -type f 2>/dev/null); do
  echo "lab: network $(sha256sum "$file" | cut -d' ' -f1) $file"
done

# A root with what useradd needs, on memory.
mkdir -p /sysroot /usr/lib/ignition
mount -t tmpfs -o mode=0755 tmpfs /sysroot
cp -a /skeleton/. /sysroot/
cp "$config" /usr/lib/ignition/user.ign
platform=$(argument ignition.platform.id)
for stage in fetch-offline files; do
  ignition --platform="${platform:-metal}" --stage="$stage" --root=/sysroot --log-to-stdout >/run/ignition.log 2>&1
  code=$?
  sed 's/^/ignition: /' /run/ignition.log
  if [ "$code" -ne 0 ]; then
    echo "lab: ignition-failed $stage $code"
    # As in Fedora CoreOS nothing goes on from here, and nothing ends either.
    while :; do sleep 1000; done
  fi
done

cd /sysroot
find . ! -path './proc*' | sort | while read -r path; do
  set -- $(stat -c '%a %u:%g' "$path")
  case "$(stat -c %F "$path")" in
    *directory) echo "lab: directory $1 $2 ${path#.}" ;;
    *link) echo "lab: link $1 $2 ${path#.} $(readlink "$path")" ;;
    *) echo "lab: file $1 $2 $(sha256sum "$path" | cut -d' ' -f1) ${path#.}" ;;
  esac
done

sed 's/^/lab: preset /' etc/systemd/system-preset/20-ignition.preset 2>/dev/null

# The installer's step that matters here: the config that the live system carries goes onto the first blank disk, where
# coreos-installer writes it.
carried=/sysroot/usr/local/bin/k8s.ign
if [ -e /sysroot/etc/coreos/dest.ign ]; then carried=/sysroot/etc/coreos/dest.ign; fi
for disk in /dev/vd?; do
  [ -b "$disk" ] && [ -e "$carried" ] || break
  [ -z "$(head -c 65536 "$disk" | tr -d '\0' | head -c 1)" ] || continue
  mke2fs -L boot "$disk" >/dev/null 2>&1
  mkdir -p /boot
  mount -t ext4 "$disk" /boot
  mkdir -p /boot/ignition
  cp "$carried" /boot/ignition/config.ign
  umount /boot
  sync
  echo "lab: installed $(sha256sum "$carried" | cut -d' ' -f1) $disk"
  break
done
# What a test waits for that knows nothing of this laboratory.
echo "localhost login: "
finish
