// The page of the site: ?src= names what it shows at first.

import { openLink } from "./page";

const link = new URLSearchParams(location.search).get("src");
if (link) void openLink(link);
