import { mkdir, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Makes a folder, and those that it lies in.
 *
 * @param path absolute
 * @returns takes it back: removes those that were not there before, as far as they are empty
 */
export async function newFolder(path: string): Promise<() => Promise<void>> {
  const first = await mkdir(path, { recursive: true })
  return async () => {
    if (first === undefined) return
    for (let made = path; made.length >= first.length; made = dirname(made))
      await rmdir(made).catch(() => undefined)
  }
}
