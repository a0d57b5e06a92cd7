/** docs/reliability.md names a test for each of its statements, and each of these tests exists. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = await readFile(join(root, 'docs/reliability.md'), 'utf8')
const named = [...text.matchAll(/`([\w/.-]+\.(?:test|long)\.ts)`:\s+"([^"]+)"/g)].map(
  ([, file = '', title = '']) => ({
    file,
    title,
  }),
)

/** A file's text, with what quoting adds to titles taken away. */
async function sourceOf(file: string): Promise<string> {
  return (await readFile(join(root, file), 'utf8')).replaceAll("\\'", "'")
}

test('every test that is named exists', async () => {
  expect(named.length).toBeGreaterThan(25)
  for (const { file, title } of named) expect(await sourceOf(file), file).toContain(title)
})

test('every fault names its test', () => {
  const rows = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| fault'))
  expect(rows.length).toBeGreaterThan(20)
  for (const row of rows) expect(row).toMatch(/\.(test|long)\.ts`: "|\| as above \|$/)
})

test('every test of the suite is named', async () => {
  const files = (await readdir(join(root, 'test/faults'))).filter((name) => /\.(test|long)\.ts$/.test(name))
  for (const name of files.filter((file) => file !== 'reliability.test.ts')) {
    const titles = (await sourceOf(`test/faults/${name}`)).matchAll(
      /^ *(?:test(?:\.each\b[^\n]*)?\(|\]\)\()\s*['"](.+?)['"],/gms,
    )
    for (const [, title = ''] of titles)
      expect(named.map((one) => `${one.file} ${one.title}`)).toContain(`test/faults/${name} ${title}`)
  }
})
