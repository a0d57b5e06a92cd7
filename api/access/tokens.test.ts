import { SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { covers, unknownScopes } from './scopes.js'
import { mintToken, readToken } from './tokens.js'

const SECRET = 'first secret, of more than 32 characters'
const OTHER = 'second secret, of more than 32 characters'
const now = Date.now()
const request = { name: 'ada', scopes: ['proposals:approve'], ttlSeconds: 3600 }

describe('a token', () => {
  test('tells who holds it and what it opens, until it ends', async () => {
    const { token, expires_at } = await mintToken(SECRET, request)
    const end = Date.parse(expires_at)
    const holder = { id: expect.any(String), name: 'ada', scopes: ['proposals:approve'] }
    expect(await readToken([SECRET], token, now)).toEqual(holder)
    expect(await readToken([SECRET], token, end - 1000)).toEqual(holder)
    expect(await readToken([SECRET], token, end)).toBeUndefined()
  })

  test('is known while its secret is current or previous, and no longer', async () => {
    const { token } = await mintToken(SECRET, request)
    expect(await readToken([OTHER, SECRET], token, now)).toMatchObject({ name: 'ada' })
    expect(await readToken([OTHER], token, now)).toBeUndefined()
    expect(await readToken([], token, now)).toBeUndefined()
  })

  test('that anybody changed is nobody’s', async () => {
    const { token } = await mintToken(SECRET, request)
    const [head = '', body = '', signature = ''] = token.split('.')
    const claims: unknown = JSON.parse(Buffer.from(body, 'base64url').toString())
    const wider = Buffer.from(JSON.stringify({ ...Object(claims), scope: '*' })).toString('base64url')
    const unsigned = Buffer.from('{"alg":"none"}').toString('base64url')
    for (const forged of [
      `${head}.${wider}.${signature}`,
      `${unsigned}.${body}.`,
      `${unsigned}.${body}.${signature}`,
      `${head}.${body}`,
      '..',
      'a.b.c',
      '',
    ]) {
      expect(await readToken([SECRET], forged, now)).toBeUndefined()
    }
  })

  const sign = (claims: Record<string, unknown>, alg = 'HS256') =>
    new SignJWT({ iss: 'ops-loop', sub: 'ada', jti: '1', scope: '*', ...claims })
      .setProtectedHeader({ alg })
      .sign(new TextEncoder().encode(`${SECRET}, long enough for the longest of all algorithms`))

  test.each([
    ['without an end', {}, 'HS256'],
    ['of another issuer', { iss: 'supabase', exp: now / 1000 + 60 }, 'HS256'],
    ['without a name', { sub: '', exp: now / 1000 + 60 }, 'HS256'],
    ['signed in another way', { exp: now / 1000 + 60 }, 'HS512'],
    ['that begins later', { exp: now / 1000 + 60, nbf: now / 1000 + 30 }, 'HS256'],
  ])('%s is refused, though the secret is ours', async (_, claims, alg) => {
    const secret = `${SECRET}, long enough for the longest of all algorithms`
    expect(await readToken([secret], await sign({ exp: now / 1000 + 60 }), now)).toMatchObject({
      name: 'ada',
    })
    expect(await readToken([secret], await sign(claims, alg), now)).toBeUndefined()
  })

  test.each([
    ['an unknown scope', { scopes: ['proposals:aprove'] }, /no scope "proposals:aprove"/],
    ['no scope', { scopes: [] }, /no scope/],
    ['no name', { name: ' ' }, /1 to 200 characters/],
    ['a name longer than any record takes', { name: 'a'.repeat(201) }, /1 to 200 characters/],
    ['a life of nothing', { ttlSeconds: 0 }, /366 days/],
    ['a life without end', { ttlSeconds: Number.POSITIVE_INFINITY }, /366 days/],
  ])('is not made with %s', async (_, fields, message) => {
    await expect(mintToken(SECRET, { ...request, ...fields })).rejects.toMatchObject({
      code: 'OPS_011',
      message: expect.stringMatching(message),
    })
  })

  test('is for the name alone, without the spaces around it, as a holder who gives it again writes it', async () => {
    const { token } = await mintToken(SECRET, { ...request, name: ' ada ' })
    expect(await readToken([SECRET], token, Date.now())).toMatchObject({ name: 'ada' })
  })

  test('is not made with a secret that can be guessed', async () => {
    await expect(mintToken('short', request)).rejects.toMatchObject({ code: 'OPS_011' })
  })
})

test.each([
  [['proposals:approve'], 'proposals:approve', true],
  [['proposals:approve'], 'proposals:reject', false],
  [['proposals:*'], 'proposals:reject', true],
  [['proposals:*'], 'policies:write', false],
  [['*:read'], 'policies:read', true],
  [['*:read'], 'policies:write', false],
  [['*'], 'policies:write', true],
  [['events:read', 'steps:*'], 'steps:retry', true],
  [['proposals'], 'proposals:read', false],
  [['proposals:approve:x'], 'proposals:approve', false],
  [[''], 'events:read', false],
  [[], 'events:read', false],
])('%j covers %s: %s', (granted, scope, expected) => {
  expect(covers(granted, scope)).toBe(expected)
})

test('words that stand for no scope are found', () => {
  expect(unknownScopes(['*', 'proposals:*', '*:read', 'events:write'])).toEqual([])
  expect(unknownScopes(['event:write', '*:approved', 'x'])).toEqual(['event:write', '*:approved', 'x'])
})
