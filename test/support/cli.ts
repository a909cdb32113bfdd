/** The command line from its sources, for tests that want a process. */
import { main } from '../../src/cli.ts';

process.exitCode = await main(process.argv.slice(2));
