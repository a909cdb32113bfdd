/**
 * Runs create-release in a process of its own, and prints its result and peak resident memory as one line of JSON. Run by
 * the tests of large files: `node measured-release.ts <request as JSON>`.
 */
import { publishRelease, type ReleaseRequest } from '../../src/release/index.ts';

const { request, apiUrl, token } = JSON.parse(process.argv[2] ?? '') as {
  request: ReleaseRequest;
  apiUrl: string;
  token: string;
};
const silent = () => {};
const { assets } = await publishRelease(request, {
  github: { apiUrl, repository: 'k4all/demo', token },
  log: { debug: silent, info: silent, notice: silent, warning: console.error },
  progress: () => ({ total: silent, advance: silent, [Symbol.dispose]: silent }),
});
// maxRSS is in KiB.
process.stdout.write(JSON.stringify({ assets, peak: process.resourceUsage().maxRSS * 1024 }));
