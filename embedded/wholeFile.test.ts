import { existsSync } from 'node:fs'
import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freshDataDir } from '../test/support/dataDir.js'
import { writeWholeFile } from './wholeFile.js'

test('is there whole, for whom it may be', async () => {
  const file = join(await freshDataDir(), 'kept')
  await writeWholeFile(file, 'old')
  await writeWholeFile(file, 'new', 0o600)
  expect(await readFile(file, 'utf8')).toBe('new')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
})

test.skipIf(!existsSync('/dev/full'))('on a full disk the old one stays', async () => {
  const folder = await freshDataDir()
  const file = join(folder, 'kept')
  await writeFile(file, 'old')
  // Whatever is written there meets a full disk.
  await symlink('/dev/full', `${file}.new`)
  await expect(writeWholeFile(file, 'new')).rejects.toMatchObject({ code: 'ENOSPC' })
  expect(await readFile(file, 'utf8')).toBe('old')
  expect(await readdir(folder)).toEqual(['kept'])
})
