import { open, readFile } from 'node:fs/promises'

/** Reads back what is written to a log file from now on. */
export async function outputFrom(logFile: string): Promise<() => Promise<string[]>> {
  const file = await open(logFile, 'a')
  const { size } = await file.stat()
  await file.close()
  return async () => {
    const text = await readFile(logFile)
    return text.subarray(size).toString('utf8').trim().split('\n')
  }
}
