/** The version of the API's document: that of package.json. */
export const VERSION = "0.1.0";
