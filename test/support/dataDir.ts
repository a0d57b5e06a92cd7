import { mkdtemp, realpath } from 'node:fs/promises'
import { inject } from 'vitest'
import { onFileEnd } from './fileEnd.js'
import { removeTestFolder } from './sweep.js'

/** An empty data folder. What still runs there when the test file ends is stopped, and the folder deleted. */
export async function freshDataDir(): Promise<string> {
  const dataDir = await realpath(await mkdtemp(`${inject('testDir')}-`))
  onFileEnd(() => removeTestFolder(dataDir))
  return dataDir
}
