import { join } from 'node:path'

/** What the stack keeps in its data folder, besides database and PostgREST. */
export function stackPaths(dataDir: string) {
  return {
    /** By this file we know a folder again as one of ours. */
    marker: join(dataDir, 'ops-loop.json'),
    secrets: join(dataDir, 'secrets.json'),
    /** How to reach the stack that runs now. */
    connection: join(dataDir, 'env'),
    apiLog: join(dataDir, 'api.log'),
    workerLog: join(dataDir, 'worker.log'),
  }
}
