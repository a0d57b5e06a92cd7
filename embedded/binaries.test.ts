import { mkdir, mkdtemp, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { restoreSymlinks } from './binaries.js'

test("the libraries' symbolic links are made where npm did not run the package's script", async () => {
  const root = await mkdtemp(join(inject('testDir'), 'package-'))
  const lib = join(root, 'native', 'lib')
  await mkdir(lib, { recursive: true })
  await writeFile(join(lib, 'libpq.so.5.17'), 'library')
  const links = ['libpq.so', 'libpq.so.5'].map((name) => ({
    source: 'native/lib/libpq.so.5.17',
    target: `native/lib/${name}`,
  }))
  await writeFile(join(root, 'native', 'pg-symlinks.json'), JSON.stringify(links))

  await Promise.all([restoreSymlinks(root), restoreSymlinks(root)])
  expect(await readlink(join(lib, 'libpq.so'))).toBe('libpq.so.5.17')
  expect(await readFile(join(lib, 'libpq.so.5'), 'utf8')).toBe('library')
})
