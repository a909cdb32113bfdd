import { execFileSync } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { peer } from '../support/peers.ts';
import { git } from '../support/repository.ts';
import { stubProgram } from '../support/stub.ts';

const SUITE = resolve(import.meta.dirname, '../..');

/** A repository with what is in this checkout, as `k4all/demo`, one commit on `main`; returns its path. */
export async function copySuite(folder: string): Promise<string> {
  const copy = join(folder, 'suite-checkout');
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: SUITE, encoding: 'utf8' }).split('\0');
  // The bundle as it is built, which is what the tests are about.
  for (const path of [...tracked.filter((one) => one !== '' && !one.startsWith('dist/')), 'dist']) {
    await mkdir(dirname(join(copy, path)), { recursive: true });
    await cp(join(SUITE, path), join(copy, path), { recursive: true });
  }
  // It runs all tests, this one among them: nothing here may start it, not even by mistake.
  await writeFile(join(copy, '.ci/run'), 'exit 1\n');
  git(copy, 'init', '--quiet', '--initial-branch=main');
  git(copy, 'remote', 'add', 'origin', 'https://github.com/k4all/demo.git');
  git(copy, 'add', '--all');
  git(copy, 'commit', '--quiet', '--message', 'The suite');
  return copy;
}

/**
 * Stand-ins for what the suite's own workflows call and can't have here: `npm ci` and `npm run` (the tests themselves),
 * `sudo` (which installs packages), and `gh`, whose API calls go to a bare repository.
 *
 * @returns a folder for the PATH; what was called is in its file `calls`
 */
export async function stubTools(folder: string, remote: string): Promise<string> {
  const bin = join(folder, 'bin');
  await mkdir(bin, { recursive: true });
  const note = `import { appendFileSync } from 'node:fs';
    import { execFileSync } from 'node:child_process';
    const args = process.argv.slice(2);
    const note = (name) => appendFileSync(${JSON.stringify(join(bin, 'calls'))}, [name, ...args].join(' ') + '\\n');`;
  await stubProgram(
    bin,
    'npm',
    `${note} note('npm');
    if (args[0] === 'pack') execFileSync(${JSON.stringify(peer('npm').path)}, args, { stdio: 'inherit' });
    if (args.join(' ') === process.env.FAILING_NPM) process.exit(1);`,
  );
  await stubProgram(bin, 'sudo', `${note} note('sudo');`);
  await stubProgram(bin, 'gh', `${note} const REMOTE = ${JSON.stringify(remote)};\n${GH_API}`);
  return bin;
}

/** `gh api` for the refs of a repository (REST API, "Git references"). */
const GH_API = `
const option = (name) => args[args.indexOf(name) + 1];
const fields = Object.fromEntries(args.flatMap((arg, i) => (/^-[fF]$/.test(arg) ? [args[i + 1].split('=')] : [])));
const git = (...gitArgs) => execFileSync('git', ['-C', REMOTE, ...gitArgs], { encoding: 'utf8' });
const [, kind, rest] = /^repos\\/k4all\\/demo\\/git\\/(matching-refs|refs)\\/?(.*)$/.exec(args.find((arg) => arg.startsWith('repos/')));
const has = (ref) => git('for-each-ref', '--format=%(refname)').split('\\n').includes(ref);
if (!process.env.GH_TOKEN) process.exit(4);
if (kind === 'matching-refs') {
  const refs = git('for-each-ref', '--format=%(refname)').trim().split('\\n').filter((ref) => ref.startsWith('refs/' + rest));
  const input = JSON.stringify(refs.map((ref) => ({ ref })));
  process.stdout.write(execFileSync('jq', ['--raw-output', option('--jq')], { input, encoding: 'utf8' }));
} else if (option('--method') === 'PATCH') {
  if (!has('refs/' + rest) || fields.force !== 'true') process.exit(1);
  note('gh');
  git('update-ref', 'refs/' + rest, fields.sha);
} else {
  if (has(fields.ref)) process.exit(1);
  note('gh');
  git('update-ref', fields.ref, fields.sha);
}`;
