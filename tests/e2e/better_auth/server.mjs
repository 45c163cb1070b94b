// An application with Better Auth as Newbi's front end sets it up, for tests.
//
// Settings come from the environment: MONGODB_URI, the PORT to listen on, VERIFY ("yes" installs
// the password.verify of the documentation), VERIFIED ("yes" demands verified e-mails). Prints
// "ready" on a line of its own once it listens, and ends when its standard input does.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { mongodbAdapter } from "better-auth/adapters/mongodb";
import { toNodeHandler } from "better-auth/node";
import { admin, bearer, jwt, multiSession, organization, twoFactor } from "better-auth/plugins";
import { MongoClient } from "mongodb";

const { MONGODB_URI, PORT, VERIFY, VERIFIED } = process.env;
const url = `http://127.0.0.1:${PORT}`;
const password = VERIFY === "yes" ? { verify: (await import("./password.mjs")).verify } : undefined;
const client = await new MongoClient(MONGODB_URI).connect();
const sent = [];

const text = (...names) =>
  Object.fromEntries(names.map((name) => [name, { type: "string", required: false, input: true }]));
const flag = (...names) =>
  Object.fromEntries(names.map((name) => [name, { type: "boolean", required: false }]));

export const auth = betterAuth({
  baseURL: url,
  secret: "a secret of the tests alone, and long enough for every version",
  database: mongodbAdapter(client.db()),
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  emailAndPassword: { enabled: true, requireEmailVerification: VERIFIED === "yes", password },
  socialProviders: {
    // No network: the "token" is the Google account's id, a bar and its e-mail.
    google: {
      clientId: "of the tests",
      clientSecret: "of the tests",
      verifyIdToken: async () => true,
      getUserInfo: async ({ idToken }) => {
        const [id, email] = idToken.split("|");
        const user = { id, email, name: "Google", emailVerified: true, image: undefined };
        return { user, data: { sub: id, email, email_verified: true } };
      },
    },
  },
  user: {
    additionalFields: {
      ...text("lastName", "avatar", "phoneNumber", "createdBy", "redirect_after_login"),
      isActive: { type: "boolean", required: false, defaultValue: true, input: false },
      ...flag("hasSeenOnboarding", "hasCompletedTutorial"),
    },
    changeEmail: { enabled: true },
  },
  plugins: [
    jwt(),
    bearer(),
    admin({ defaultRole: "owner", adminRoles: ["admin"] }),
    twoFactor(),
    organization({
      creatorRole: "owner",
      organizationLimit: 5,
      membershipLimit: 100,
      sendInvitationEmail: async ({ id }) => void sent.push(id),
      schema: {
        organization: {
          additionalFields: {
            ...text("companyName", "companyEmail", "companyPhone", "website", "siret"),
            ...text("vatNumber", "rcs", "capitalSocial", "legalForm", "activityCategory"),
            ...text("fiscalRegime", "addressStreet", "addressCity", "addressZipCode"),
            ...text("addressCountry", "bankIban", "bankBic", "bankName"),
            ...flag("isVatSubject", "hasCommercialActivity", "showBankDetails"),
          },
        },
      },
    }),
    multiSession(),
  ],
});

const server = createServer(toNodeHandler(auth));
server.listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
// Whoever started it holds the other end: it cannot outlive a test that was killed.
process.stdin.resume().on("end", () => process.exit(0));
