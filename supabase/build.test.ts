import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { buildMigrations } from './build.js'

const migrations = await buildMigrations()

test.each(Object.entries(migrations))('%s is what schemas and policies make', async (name, expected) => {
  expect(await readFile(new URL(`migrations/${name}`, import.meta.url), 'utf8')).toBe(expected)
})

test.each(Object.entries(migrations))(
  '%s can be run by psql and by the Supabase CLI alike',
  (_name, text) => {
    expect(text).not.toMatch(/^\s*(begin|commit|start transaction)\s*;/im)
    expect(text).not.toMatch(/^\\/m)
  },
)
