/** Codes as routes. */
import type { Hono } from "hono"
import { claimCode, listCodes, putPublicCode, revokeCodes } from "../../contract/codes.ts"
import type { Uses } from "../../uses.ts"
import { serveCodeStreams } from "../code_streams.ts"
import { type Http, serve } from "../serve.ts"

export const routeCodes = (app: Hono, http: Http, { codes }: Uses): void => {
  serve(app, http, claimCode, codes.claim)
  serve(app, http, putPublicCode, codes.putPublic)
  serve(app, http, listCodes, codes.list)
  serve(app, http, revokeCodes, codes.revoke)
  serveCodeStreams(app, http, codes)
}
