// A shop in Next.js, every page of which says which it is.
export async function getServerSideProps({ resolvedUrl, res }) {
  res.setHeader("Content-Type", "application/json");
  res.end(JSON.stringify({ shop: true, path: resolvedUrl }));
  return { props: {} };
}

export default function Page() {
  return null;
}
