import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onFileEnd } from '../support/fileEnd.js'

export interface StandIn {
  /** A search path on which the stand-in is found, and Node to run it. */
  PATH: string
  /** A folder in which it may leave notes. */
  folder: string
  /** The lines that it wrote to `calls`, as JSON. */
  calls(): Promise<{ argv: string[]; env: string[]; pid: number }[]>
}

/** Puts one of the programs in this folder on a search path under the name of what it stands in for. */
export async function onPath(name: string): Promise<StandIn> {
  const folder = await mkdtemp(join(tmpdir(), `ops-loop-${name}-`))
  onFileEnd(() => rm(folder, { recursive: true, force: true }))
  await symlink(join(import.meta.dirname, `${name}.mjs`), join(folder, name))
  const calls = async () => {
    const text = await readFile(join(folder, 'calls'), 'utf8').catch(() => '')
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  }
  return { PATH: `${folder}:${dirname(process.execPath)}`, folder, calls }
}
