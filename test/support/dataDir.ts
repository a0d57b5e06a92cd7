import { mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onFileEnd } from './fileEnd.js'
import { testFolderPrefix } from './names.js'
import { removeTestFolder } from './sweep.js'

/** An empty data folder. What still runs there when the test file ends is stopped, and the folder deleted. */
export async function freshDataDir(): Promise<string> {
  const dataDir = await realpath(await mkdtemp(join(tmpdir(), testFolderPrefix)))
  onFileEnd(() => removeTestFolder(dataDir))
  return dataDir
}
