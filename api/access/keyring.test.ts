import { expect, test } from 'vitest'
import { keyring } from './keyring.js'

const keys = keyring(
  { apiKeys: ['current-key', 'previous+/key=='], cronSecret: 'cron-secret', tokenSecrets: [] },
  Date.now,
)
const identify = async (header: string | undefined) => (await keys(header))?.kind

test('each configured key is known by its bearer token', async () => {
  expect(await identify('Bearer current-key')).toBe('key')
  expect(await identify('Bearer previous+/key==')).toBe('key')
  expect(await identify('Bearer cron-secret')).toBe('cron')
  expect(await identify('bearer current-key')).toBe('key')
})

test.each([
  ['nothing', undefined],
  ['an empty header', ''],
  ['the scheme alone', 'Bearer'],
  ['an empty token', 'Bearer '],
  ['another scheme', 'Basic current-key'],
  ['no scheme', 'current-key'],
  ['a beginning of the key', 'Bearer current-ke'],
  ['more than the key', 'Bearer current-key1'],
  ['another case', 'Bearer CURRENT-KEY'],
  ['two headers joined', 'Bearer current-key, Bearer current-key'],
  ['two tokens', 'Bearer current-key current-key'],
  ['control characters', 'Bearer current-key\u0000'],
  ['other alphabets', 'Bearer ключ'],
  ['a very long token', `Bearer ${'x'.repeat(1_000_000)}`],
])('%s is nobody', async (_, header) => {
  expect(await identify(header)).toBeUndefined()
})

test('an empty configuration knows nobody, not even the bearer of an empty key', async () => {
  for (const config of [{ apiKeys: [] }, { apiKeys: [''], cronSecret: '' }]) {
    const nobody = keyring({ ...config, tokenSecrets: [] }, Date.now)
    expect(await nobody('Bearer ')).toBeUndefined()
    expect(await nobody('Bearer undefined')).toBeUndefined()
    expect(await nobody(undefined)).toBeUndefined()
  }
})
