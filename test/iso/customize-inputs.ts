import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUJ3YJ0nM9oYyPkpNfA0HTg1VhE5QwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGazRhbGwwMB4XDTI2MDEwMTAwMDAwMFoXDTM2MDEwMTAwMDAw
-----END CERTIFICATE-----
`;

export const INPUT_FILES: Readonly<Record<string, string>> = {
  'live-1.ign': '{"ignition":{"version":"3.4.0"},"storage":{"files":[{"path":"/etc/live-1","mode":420}]}}\n',
  'live-2.ign':
    '{\n  "ignition": {"version": "3.3.0"},\n  "systemd": {"units": [{"name": "a.service", "enabled": true}]}\n}\n',
  'dest-1.ign': '{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"core"}]}}\n',
  'dest-2.ign': '{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"/etc/dest-2"}]}}',
  'eth0.nmconnection': '[connection]\nid=eth0\ntype=ethernet\n\n[ipv4]\nmethod=auto\n',
  'eth1.nmconnection': '# second\n[connection]\nid=eth1\ntype=ethernet\n',
  'pre-1': '#!/bin/bash\necho pre\n',
  'post-1': '#!/bin/bash\necho post 1\n',
  'post-2.sh': '#!/usr/bin/env python3\nprint("post 2")\n',
  'install-1.yaml': 'append-karg: [from-config]\n',
  'install-2.yaml': '# full\ndest-device: /dev/vdb\ninsecure: true\n',
  'ca.pem': CERTIFICATE,
};

/** Writes one input file of every kind, with a certificate that is one where openssl is there. */
export function writeInputFiles(folder: string): void {
  for (const [name, text] of Object.entries(INPUT_FILES)) writeFileSync(join(folder, name), text);
}

/** Replaces the stand-in by a real certificate, and adds its key. */
export function makeCertificate(folder: string): void {
  const subject = [
    '-subj',
    '/CN=test',
    '-days',
    '3650',
    '-nodes',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
  ];
  const files = ['-keyout', join(folder, 'ca.key'), '-out', join(folder, 'ca.pem')];
  execFileSync('openssl', ['req', '-x509', ...subject, ...files], { stdio: 'pipe' });
}
