import { rename, rm, writeFile } from 'node:fs/promises'

/** Writes a file aside and renames it: a kill or a full disk in between leaves the old one, or none, and never a part. */
export async function writeWholeFile(file: string, text: string, mode = 0o666): Promise<void> {
  const aside = `${file}.new`
  try {
    await writeFile(aside, text, { mode })
    await rename(aside, file)
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
}
