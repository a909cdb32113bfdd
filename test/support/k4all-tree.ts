import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const ROLES = ['bootstrap', 'control', 'worker'] as const;

/** Writes a checkout in the k4all layout, of about its size: 60 files, none of them executable. */
export async function writeK4allTree(folder: string, roles: readonly string[] = ROLES): Promise<void> {
  for (const [path, text] of k4allFiles(roles)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text, { mode: 0o644 });
  }
}

function k4allFiles(roles: readonly string[]): Map<string, string> {
  const files = new Map<string, string>([
    ['k8s-base.bu', BASE],
    ['install.bu', INSTALL],
    ['README.md', '# A cluster\n'],
  ]);
  for (const role of roles) files.set(`k8s-${role}.bu`, roleButane(role));
  for (let i = 0; i < 34; i++)
    files.set(`scripts/step-${String(i).padStart(2, '0')}.sh`, script(`step ${i}`, 20 + 5 * i));
  for (let i = 0; i < 14; i++)
    files.set(`install-scripts/lib/install-${i}.sh`, script(`installation ${i}`, 40 + 4 * i));
  for (let i = 0; i < 8; i++)
    files.set(`charts/values-${i}.yaml`, `replicas: ${i}\nimage: example.org/service-${i}:1.${i}\n`);
  return files;
}

/** A shell script of so many lines that compresses about as well as a real one. */
function script(title: string, lines: number): string {
  const words = [
    'node',
    'cluster',
    'config',
    'network',
    'certificate',
    'token',
    'service',
    'volume',
    'image',
    'manifest',
  ];
  const body = Array.from({ length: lines }, (_, i) => {
    const [a, b, c] = [words[i % 10], words[(i * 7 + lines) % 10], words[(i * 3 + title.length) % 10]];
    return `if [[ ! -e /var/lib/k4all/${a}-${i}.done ]]; then log "${title}: ${b} ${i * 37}"; apply_${c} "$1" --${b}=${(i * 7919) % 1000}; fi`;
  });
  return `#!/usr/bin/bash\n# ${title}\nset -euo pipefail\n\n${body.join('\n')}\n`;
}

const HEAD = 'variant: fcos\nversion: 1.5.0\n';

const BASE = `${HEAD}passwd:
  users:
    - name: core
      ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleEx core@example]
storage:
  trees:
    - {local: scripts, path: /usr/local/bin}
    - {local: charts, path: /etc/k4all/charts}
  files:
    - path: /etc/sysctl.d/90-k4all.conf
      mode: 0644
      contents:
        inline: |
          net.ipv4.ip_forward = 1
  links:
    - {path: /etc/localtime, target: ../usr/share/zoneinfo/UTC}
systemd:
  units:
    - name: k4all-setup.service
      enabled: true
      contents: |
        [Unit]
        Description=Set this node up
        [Service]
        Type=oneshot
        ExecStart=/usr/local/bin/step-00.sh
        [Install]
        WantedBy=multi-user.target
`;

function roleButane(role: string): string {
  return `${HEAD}ignition:
  config:
    merge:
      - local: k8s-base.ign
storage:
  files:
    - path: /etc/k4all-role
      mode: 0644
      contents: {inline: ${role}}
    - path: /etc/kubernetes/${role}.yaml
      mode: 0600
      contents:
        inline: |
          kind: ${role}Configuration
`;
}

const INSTALL = `${HEAD}storage:
  trees:
    - {local: install-scripts, path: /usr/local/bin}
  files:
    - path: /usr/local/bin/k8s.ign
      mode: 0600
      contents: {local: k8s.ign}
systemd:
  units:
    - name: install.service
      enabled: true
      contents: |
        [Unit]
        Description=Install this node
        [Service]
        Type=oneshot
        ExecStart=/usr/local/bin/lib/install-0.sh
        [Install]
        WantedBy=multi-user.target
`;
